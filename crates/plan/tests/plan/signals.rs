//! The targets of autoscalers.

use serde_json::{Value, json};
use springtide_api::targets::Signal;
use springtide_plan::{
    Capabilities, Child, Observed, PodsMetrics, desired, keda::ScaledObjectSpec,
};

use crate::support::{settings, validated, with_keda};

/// Each signal with another target.
fn every_target() -> Value {
    Signal::ALL
        .into_iter()
        .zip(11..)
        .map(|(signal, target)| (signal.as_str().to_owned(), json!(target)))
        .collect()
}

fn scaled_object(targets: Value) -> ScaledObjectSpec {
    let model_service = validated(json!({"autoscaling": {"engine": "KEDA", "targets": targets}}));
    desired(&model_service, &with_keda(), &settings())
        .apply
        .into_iter()
        .find_map(|child| match child {
            Child::ScaledObject(scaled_object) => Some(scaled_object.spec),
            _ => None,
        })
        .unwrap()
}

/// The metrics of an HPA if the custom metrics API has all signals.
fn metrics(targets: Value) -> Value {
    let model_service = validated(json!({"autoscaling": {"engine": "HPA", "targets": targets}}));
    let observed = Observed {
        capabilities: Capabilities {
            pods_metrics: PodsMetrics::Listed(Signal::of_server().collect()),
            ..Capabilities::default()
        },
        ..Observed::default()
    };
    let metrics = desired(&model_service, &observed, &settings())
        .apply
        .into_iter()
        .find_map(|child| match child {
            Child::HorizontalPodAutoscaler(hpa) => hpa.spec.unwrap().metrics,
            _ => None,
        })
        .unwrap();
    serde_json::to_value(metrics).unwrap()
}

#[test]
fn a_sum_is_compared_per_pod_and_a_latency_as_it_is() {
    let triggers = scaled_object(every_target()).triggers;
    let triggers = triggers
        .iter()
        .map(|trigger| {
            let metadata = &trigger.metadata;
            let target = metadata.get("threshold").or(metadata.get("value"));
            (
                trigger.kind.as_str(),
                trigger.name.as_deref().unwrap(),
                trigger.metric_type.as_deref().unwrap(),
                target.unwrap().as_str(),
            )
        })
        .collect::<Vec<_>>();
    assert_eq!(
        triggers,
        [
            ("prometheus", "requestsPerSecond", "AverageValue", "13"),
            ("prometheus", "queueSize", "AverageValue", "14"),
            ("prometheus", "p95LatencyMilliseconds", "Value", "15"),
            ("prometheus", "concurrency", "AverageValue", "16"),
            ("prometheus", "loadPercent", "AverageValue", "17"),
            ("cpu", "cpuUtilizationPercent", "Utilization", "11"),
            ("memory", "memoryUtilizationPercent", "Utilization", "12"),
        ]
    );
}

#[test]
fn no_data_is_a_failed_reading_that_keeps_the_pods() {
    let spec = scaled_object(every_target());
    for trigger in spec.triggers.iter().filter(|it| it.kind == "prometheus") {
        assert_eq!(trigger.metadata["ignoreNullValues"], "false");
    }
    let fallback = spec.fallback.unwrap();
    assert_eq!(
        fallback.behavior.as_deref(),
        Some("currentReplicasIfHigher")
    );
    assert_eq!(Some(fallback.replicas), spec.min_replica_count);
}

/// KEDA rejects a fallback if all triggers are CPU or memory.
#[test]
fn there_is_a_fallback_only_where_something_can_fall_back() {
    assert!(
        scaled_object(json!({"cpuUtilizationPercent": 50}))
            .fallback
            .is_none()
    );
    assert!(
        scaled_object(json!({"cpuUtilizationPercent": 50, "loadPercent": 75}))
            .fallback
            .is_some()
    );
}

#[test]
fn an_hpa_takes_serving_signals_from_the_custom_metrics_api() {
    let utilization = |resource: &str, percent: i32| {
        json!({"type": "ContainerResource", "containerResource": {
            "container": "server",
            "name": resource,
            "target": {"type": "Utilization", "averageUtilization": percent},
        }})
    };
    let pods = |metric: &str, target: &str| {
        json!({"type": "Pods", "pods": {
            "metric": {"name": metric},
            "target": {"type": "AverageValue", "averageValue": target},
        }})
    };
    assert_eq!(
        metrics(every_target()),
        json!([
            utilization("cpu", 11),
            utilization("memory", 12),
            pods("springtide_requests_per_second", "13"),
            pods("springtide_queue_size", "14"),
            pods("springtide_p95_latency_milliseconds", "15"),
            pods("springtide_concurrency", "16"),
            pods("springtide_load_percent", "17"),
        ])
    );
}

/// The canonical quantities of the API server, so that nothing differs from the stored object.
#[test]
fn targets_are_canonical_quantities() {
    for (target, quantity) in [
        (1, "1"),
        (999, "999"),
        (1000, "1k"),
        (1500, "1500"),
        (20_000, "20k"),
        (999_999, "999999"),
        (1_000_000, "1M"),
    ] {
        let metrics = metrics(json!({"requestsPerSecond": target}));
        assert_eq!(
            metrics[0]["pods"]["target"]["averageValue"], quantity,
            "{target}"
        );
    }
}
