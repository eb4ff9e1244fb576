//! `AutoscalingReady`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use springtide_plan::{ExternalMetrics, Observed, PodsMetrics};

use super::{deployed, healthy, no, pod, rolled_out, serving, unknown, yes};
use crate::support::{at, condition, keda, message, requeue_at, status_of, validated};

#[test]
fn unavailable_signals_are_named_with_the_component_to_install() {
    for (engine, has_keda, remedy) in [
        (
            "Auto",
            false,
            "Install KEDA (https://keda.sh), or prometheus-adapter",
        ),
        ("HPA", true, "Set spec.autoscaling.engine to Auto"),
        ("HPA", false, "Install prometheus-adapter"),
    ] {
        let (_, mut observed) = healthy();
        observed.capabilities = keda(has_keda);
        let model_service = validated(json!({"autoscaling": {"engine": engine, "targets": {
            "requestsPerSecond": 10, "loadPercent": 75,
        }}}));
        let status = status_of(&model_service, &observed);
        assert_eq!(
            condition(&status, "AutoscalingReady"),
            no("SignalsUnavailable")
        );
        let message = message(&status, "AutoscalingReady");
        for part in [
            "requestsPerSecond, loadPercent can't be followed",
            "springtide_load_percent",
            "CPU at 70 %",
            remedy,
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn an_adapter_has_time_to_list_metrics_of_new_pods() {
    let (_, mut observed) = healthy();
    observed.capabilities.pods_metrics = PodsMetrics::Listed([].into());
    let model_service = validated(json!({"autoscaling": {"engine": "HPA", "targets": {
        "cpuUtilizationPercent": 70, "loadPercent": 75,
    }}}));
    let ready =
        |observed: &Observed| condition(&status_of(&model_service, observed), "AutoscalingReady");
    assert_eq!(ready(&observed), no("SignalsUnavailable"));
    let mut fresh = serving();
    fresh["conditions"][0]["lastTransitionTime"] = json!(at(-5).to_string());
    observed.pods = vec![pod(&model_service, "a", fresh)];
    assert_eq!(ready(&observed), unknown("Starting"));
}

#[test]
fn an_hpa_that_cannot_scale_says_so() {
    let (model_service, mut observed) = healthy();
    let hpa = observed.horizontal_pod_autoscaler.as_mut().unwrap();
    let able = &mut hpa.status.as_mut().unwrap().conditions.as_mut().unwrap()[0];
    able.status = "False".to_owned();
    able.reason = Some("FailedGetScale".to_owned());
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "AutoscalingReady"), no("FailedGetScale"));
    assert_eq!(condition(&status, "Ready"), no("FailedGetScale"));
}

#[test]
fn keda_speaks_for_its_scaled_object() {
    let (model_service, mut observed) = deployed("KEDA", rolled_out());
    observed.pods = vec![pod(&model_service, "a", serving())];
    let metadata = &mut observed.scaled_object.as_mut().unwrap().metadata;
    metadata.finalizers = Some(vec!["finalizer.keda.sh".to_owned()]);
    assert_eq!(
        condition(&status_of(&model_service, &observed), "AutoscalingReady"),
        unknown("Starting")
    );
    let hpa = healthy().1.horizontal_pod_autoscaler;
    let with = |observed: &Observed, conditions: Value| {
        let mut observed = observed.clone();
        observed.scaled_object.as_mut().unwrap().status =
            Some(serde_json::from_value(json!({"conditions": conditions})).unwrap());
        let status = status_of(&model_service, &observed);
        (
            condition(&status, "AutoscalingReady"),
            condition(&status, "MetricsHealthy"),
        )
    };
    let ready =
        |status: &str, reason: &str| json!([{"type": "Ready", "status": status, "reason": reason}]);
    // KEDA first sets all conditions to Unknown.
    assert_eq!(
        with(&observed, json!([{"type": "Ready", "status": "Unknown"}])),
        (unknown("Starting"), unknown("Starting"))
    );
    assert_eq!(
        with(&observed, ready("True", "ScaledObjectReady")),
        (yes("Scaling"), unknown("Starting"))
    );
    assert_eq!(
        with(&observed, ready("False", "ScaledObjectCheckFailed")),
        (no("ScaledObjectCheckFailed"), unknown("Starting"))
    );
    assert_eq!(
        with(&observed, ready("Unknown", "SomethingNew")),
        (unknown("SomethingNew"), unknown("Starting"))
    );
    assert_eq!(
        with(&observed, ready("False", "TriggerError")),
        (no("TriggerError"), no("TriggerError"))
    );
    observed.keda_horizontal_pod_autoscaler = hpa;
    assert_eq!(
        with(&observed, ready("True", "ScaledObjectReady")),
        (yes("Scaling"), yes("Readings"))
    );
    for (status, reason) in [
        ("Unknown", "PartialTriggerError"),
        ("False", "TriggerError"),
    ] {
        assert_eq!(
            with(&observed, ready(status, reason)),
            (yes("Scaling"), no("TriggerError"))
        );
    }
    assert_eq!(
        with(
            &observed,
            json!([
                {"type": "Ready", "status": "True"}, {"type": "Fallback", "status": "True"},
            ])
        ),
        (yes("Scaling"), no("FallbackActive"))
    );
    assert_eq!(
        with(
            &observed,
            json!([{"type": "Ready", "status": "True"}, {"type": "Paused", "status": "True"}])
        ),
        (no("Paused"), unknown("Paused"))
    );
}

#[test]
fn an_unprocessed_scaled_object_means_that_keda_is_not_running() {
    let made = |second, change: fn(&mut Observed)| {
        let (model_service, mut observed) = deployed("KEDA", rolled_out());
        observed.pods = vec![pod(&model_service, "a", serving())];
        let metadata = &mut observed.scaled_object.as_mut().unwrap().metadata;
        metadata.creation_timestamp = Some(Time(at(second)));
        change(&mut observed);
        let status = status_of(&model_service, &observed);
        let again = requeue_at(&model_service, &observed, &status, at(0));
        (condition(&status, "AutoscalingReady"), again, status)
    };
    let (fresh, again, _) = made(-59, |_| ());
    assert_eq!((fresh, again), (unknown("Starting"), Some(at(1))));
    let (late, _, status) = made(-60, |_| ());
    assert_eq!(late, no("KedaNotRunning"));
    assert_eq!(condition(&status, "Ready"), no("KedaNotRunning"));
    let said = message(&status, "AutoscalingReady");
    assert!(
        said.contains("set spec.autoscaling.engine to HPA"),
        "{said}"
    );
    assert!(!said.contains("external.metrics.k8s.io"), "{said}");
    let (_, _, status) = made(-60, |observed| {
        observed.capabilities.external_metrics = ExternalMetrics::Absent;
    });
    let said = message(&status, "AutoscalingReady");
    assert!(
        said.contains("external.metrics.k8s.io isn't registered"),
        "{said}"
    );
    let signs: [fn(&mut Observed); 3] = [
        |observed| {
            let metadata = &mut observed.scaled_object.as_mut().unwrap().metadata;
            metadata.finalizers = Some(vec!["finalizer.keda.sh".to_owned()]);
        },
        |observed| {
            let said = json!({"conditions": [{"type": "Ready", "status": "Unknown"}]});
            observed.scaled_object.as_mut().unwrap().status = serde_json::from_value(said).unwrap();
        },
        |observed| {
            observed.keda_horizontal_pod_autoscaler = healthy().1.horizontal_pod_autoscaler;
        },
    ];
    for sign in signs {
        assert_eq!(made(-60, sign).0, unknown("Starting"));
    }
}

#[test]
fn auto_says_that_keda_has_only_left_its_definitions() {
    let (_, mut observed) = healthy();
    observed.capabilities = keda(true);
    observed.capabilities.external_metrics = ExternalMetrics::Absent;
    let model_service = validated(json!({"autoscaling": {"targets": {"loadPercent": 75}}}));
    let status = status_of(&model_service, &observed);
    assert_eq!(
        condition(&status, "AutoscalingReady"),
        no("SignalsUnavailable")
    );
    let message = message(&status, "AutoscalingReady");
    assert!(message.contains("KEDA isn't running"), "{message}");
    assert!(message.contains("CPU at 70 %"), "{message}");
}

#[test]
fn an_hpa_that_is_switched_off_does_not_scale() {
    for (reason, metrics) in [
        ("ScalingDisabled", unknown("ScalingDisabled")),
        ("AmbiguousSelector", unknown("AmbiguousSelector")),
    ] {
        let (model_service, mut observed) = healthy();
        let hpa = observed.horizontal_pod_autoscaler.as_mut().unwrap();
        let active = &mut hpa.status.as_mut().unwrap().conditions.as_mut().unwrap()[1];
        active.status = "False".to_owned();
        active.reason = Some(reason.to_owned());
        let status = status_of(&model_service, &observed);
        assert_eq!(condition(&status, "AutoscalingReady"), no(reason));
        assert_eq!(condition(&status, "MetricsHealthy"), metrics);
        assert_eq!(condition(&status, "Ready"), no(reason));
    }
}
