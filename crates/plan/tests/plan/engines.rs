//! The active autoscaler and its targets.

use proptest::prelude::*;
use serde_json::{Value, json};
use springtide_api::{
    autoscaling::ActiveEngine,
    targets::{Signal, Targets},
};
use springtide_plan::{
    ActiveAutoscaler, Capabilities, EffectiveTargets, ExternalMetrics, Observed, PodsMetrics,
    ValidatedModelService,
};

use crate::support::{self, any_pods_metrics, any_targets, applied, keda, validated, with_keda};

fn asking_for(engine: &str, targets: Value) -> ValidatedModelService {
    validated(json!({"autoscaling": {"engine": engine, "targets": targets}}))
}

fn on(keda: bool, pods_metrics: PodsMetrics) -> Observed {
    Observed {
        capabilities: Capabilities {
            pods_metrics,
            ..support::keda(keda)
        },
        ..Observed::default()
    }
}

fn listed(signals: &[Signal]) -> PodsMetrics {
    PodsMetrics::Listed(signals.iter().copied().collect())
}

fn effective<'a>(
    model_service: &'a ValidatedModelService,
    observed: &Observed,
) -> EffectiveTargets<'a> {
    match model_service.scaling().resolve(observed) {
        ActiveAutoscaler::Hpa(effective) | ActiveAutoscaler::Keda(effective) => effective,
        ActiveAutoscaler::Fixed { .. } => unreachable!(),
    }
}

fn followed(model_service: &ValidatedModelService, observed: &Observed) -> Vec<&'static str> {
    let targets = effective(model_service, observed).targets;
    Signal::ALL
        .into_iter()
        .filter(|signal| targets.of(*signal).is_some())
        .map(Signal::as_str)
        .collect()
}

#[test]
fn auto_is_keda_where_it_is_there_and_a_signal_needs_it() {
    let engine = |targets: &Value, has_keda| {
        let observed = on(has_keda, PodsMetrics::Absent);
        asking_for("Auto", targets.clone())
            .scaling()
            .resolve(&observed)
            .engine()
    };
    for resources in [
        json!({}),
        json!({"cpuUtilizationPercent": 50}),
        json!({"cpuUtilizationPercent": 50, "memoryUtilizationPercent": 50}),
    ] {
        assert_eq!(engine(&resources, true), ActiveEngine::Hpa, "{resources}");
        assert_eq!(engine(&resources, false), ActiveEngine::Hpa, "{resources}");
    }
    for signal in Signal::of_server() {
        let targets = json!({(signal.as_str()): 5, "cpuUtilizationPercent": 50});
        assert_eq!(engine(&targets, true), ActiveEngine::Keda, "{targets}");
        assert_eq!(engine(&targets, false), ActiveEngine::Hpa, "{targets}");
    }
}

/// A partial uninstall, or CRDs without KEDA.
#[test]
fn auto_is_an_hpa_where_keda_has_only_left_its_definitions() {
    let model_service = asking_for("Auto", json!({"loadPercent": 75}));
    let engine = |observed: &Observed, external_metrics| {
        let mut observed = observed.clone();
        observed.capabilities.external_metrics = external_metrics;
        model_service.scaling().resolve(&observed).engine()
    };
    let by_hpa = applied(&model_service, on(false, PodsMetrics::Absent));
    let by_hpa = Observed {
        capabilities: keda(true),
        ..by_hpa
    };
    let by_keda = applied(&model_service, with_keda());
    let taken_up = Observed {
        keda_horizontal_pod_autoscaler: by_hpa.horizontal_pod_autoscaler.clone(),
        ..by_keda.clone()
    };
    for (observed, absent, unknown) in [
        (with_keda(), ActiveEngine::Hpa, ActiveEngine::Keda),
        (by_keda, ActiveEngine::Hpa, ActiveEngine::Keda),
        // A working autoscaler isn't changed by one failed discovery.
        (taken_up, ActiveEngine::Keda, ActiveEngine::Keda),
        (by_hpa, ActiveEngine::Hpa, ActiveEngine::Hpa),
    ] {
        assert_eq!(engine(&observed, ExternalMetrics::Absent), absent);
        assert_eq!(engine(&observed, ExternalMetrics::Unknown), unknown);
        assert_eq!(
            engine(&observed, ExternalMetrics::Registered),
            ActiveEngine::Keda
        );
    }
}

#[test]
fn an_engine_that_is_named_stays_whatever_the_cluster_has() {
    let targets = json!({"loadPercent": 75});
    for has_keda in [false, true] {
        let observed = on(has_keda, listed(&Signal::of_server().collect::<Vec<_>>()));
        let engine = |engine| {
            let model_service = asking_for(engine, targets.clone());
            model_service.scaling().resolve(&observed).engine()
        };
        assert_eq!(engine("HPA"), ActiveEngine::Hpa);
        assert_eq!(engine("KEDA"), ActiveEngine::Keda);
    }
}

#[test]
fn exactly_the_targets_that_are_set_are_followed() {
    let model_service = asking_for("KEDA", json!({"queueSize": 7, "concurrency": 3}));
    assert_eq!(
        effective(&model_service, &on(true, PodsMetrics::Absent)).targets,
        Targets::default()
            .with(Signal::QueueSize, 7)
            .with(Signal::Concurrency, 3)
    );
}

#[test]
fn without_a_target_the_contracts_are_followed() {
    let resources = Targets::default()
        .with(Signal::CpuUtilizationPercent, 70)
        .with(Signal::MemoryUtilizationPercent, 80);
    let observed = on(true, PodsMetrics::Absent);
    for engine in ["Auto", "HPA"] {
        let model_service = asking_for(engine, json!({}));
        assert_eq!(effective(&model_service, &observed).targets, resources);
    }
    assert_eq!(
        effective(&asking_for("KEDA", json!({})), &observed).targets,
        resources
            .with(Signal::RequestsPerSecond, 100)
            .with(Signal::QueueSize, 20)
            .with(Signal::P95LatencyMilliseconds, 500)
    );
}

#[test]
fn an_hpa_follows_listed_metrics_and_reports_missing_ones() {
    let model_service = asking_for(
        "HPA",
        json!({"memoryUtilizationPercent": 80, "queueSize": 20, "loadPercent": 75}),
    );
    let observed = on(false, listed(&[Signal::LoadPercent]));
    assert_eq!(
        followed(&model_service, &observed),
        ["memoryUtilizationPercent", "loadPercent"]
    );
    let effective = effective(&model_service, &observed);
    assert_eq!(effective.unavailable, [Signal::QueueSize]);
    assert!(!effective.is_cpu_fallback);
}

#[test]
fn an_hpa_without_available_targets_follows_cpu() {
    let model_service = asking_for("HPA", json!({"loadPercent": 75}));
    for pods_metrics in [PodsMetrics::Absent, PodsMetrics::Unknown, listed(&[])] {
        let observed = on(false, pods_metrics);
        let effective = effective(&model_service, &observed);
        assert!(effective.is_cpu_fallback);
        assert_eq!(
            effective.targets.of(Signal::CpuUtilizationPercent),
            Some(70)
        );
        assert_eq!(
            followed(&model_service, &observed),
            ["cpuUtilizationPercent"]
        );
    }
}

/// An HPA that lacks a reading removes no pods. An HPA without the metric would.
#[test]
fn a_metric_that_is_followed_stays_while_its_adapter_is_away() {
    let model_service = asking_for("HPA", json!({"loadPercent": 75}));
    let live = applied(
        &model_service,
        on(false, listed(&Signal::of_server().collect::<Vec<_>>())),
    );
    for pods_metrics in [PodsMetrics::Unknown, listed(&[])] {
        let observed = Observed {
            capabilities: Capabilities {
                pods_metrics,
                ..keda(false)
            },
            ..live.clone()
        };
        assert_eq!(followed(&model_service, &observed), ["loadPercent"]);
    }
    let uninstalled = Observed {
        capabilities: keda(false),
        ..live
    };
    assert_eq!(
        followed(&model_service, &uninstalled),
        ["cpuUtilizationPercent"]
    );
}

proptest! {
    #[test]
    fn the_engine_does_not_change_with_the_custom_metrics_api(
        engine in prop::sample::select(vec!["Auto", "HPA", "KEDA"]),
        targets in any_targets(),
        has_keda in any::<bool>(),
        first in any_pods_metrics(),
        then in any_pods_metrics(),
    ) {
        let model_service = asking_for(engine, targets);
        let live = applied(&model_service, on(has_keda, first));
        let before = model_service.scaling().resolve(&live).engine();
        let mut after = live;
        after.capabilities.pods_metrics = then;
        prop_assert_eq!(model_service.scaling().resolve(&after).engine(), before);
    }

    #[test]
    fn an_hpa_stops_following_a_signal_only_without_an_adapter(
        targets in any_targets(),
        looks in prop::collection::vec(any_pods_metrics(), 1..6),
    ) {
        let model_service = asking_for("HPA", targets);
        let mut live = on(false, PodsMetrics::Unknown);
        for pods_metrics in looks {
            let before = live.horizontal_pod_autoscaler.is_some()
                .then(|| followed(&model_service, &live));
            let is_absent = pods_metrics == PodsMetrics::Absent;
            live.capabilities.pods_metrics = pods_metrics;
            let after = followed(&model_service, &live);
            for signal in before.into_iter().flatten() {
                let is_stand_in = signal == "cpuUtilizationPercent";
                prop_assert!(is_absent || is_stand_in || after.contains(&signal));
            }
            prop_assert!(!after.is_empty());
            live = applied(&model_service, live);
        }
    }

    #[test]
    fn every_target_is_followed_or_reported_as_unavailable(
        engine in prop::sample::select(vec!["Auto", "HPA", "KEDA"]),
        targets in any_targets(),
        has_keda in any::<bool>(),
        pods_metrics in any_pods_metrics(),
    ) {
        let model_service = asking_for(engine, targets.clone());
        let observed = on(has_keda, pods_metrics);
        let effective = effective(&model_service, &observed);
        for signal in Signal::ALL {
            let is_asked_for = targets.get(signal.as_str()).is_some();
            let is_unavailable = effective.unavailable.contains(&signal);
            let is_followed = effective.targets.of(signal) == Some(60);
            prop_assert_eq!(is_asked_for, is_followed || is_unavailable);
            prop_assert!(!(is_followed && is_unavailable));
        }
    }
}
