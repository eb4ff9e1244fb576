//! `MetricsHealthy`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use springtide_api::ModelServiceStatus;
use springtide_plan::{Observed, ValidatedModelService, events};

use super::{deployed, healthy, no, pod, rolled_out, serving, unknown, yes};
use crate::support::{
    applied, at, condition, message, requeue_at, status_after, status_of, validated, with_keda,
};

const UNABLE: &str = "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu:";

/// An HPA on CPU and memory with this status.
fn hpa(conditions: Value, metrics: Value) -> (ValidatedModelService, Observed) {
    let (model_service, mut observed) = healthy();
    observed.horizontal_pod_autoscaler.as_mut().unwrap().status = Some(
        serde_json::from_value(json!({
            "desiredReplicas": 2, "conditions": conditions, "currentMetrics": metrics,
        }))
        .unwrap(),
    );
    (model_service, observed)
}

fn failed(reason: &str, message: &str) -> Value {
    json!([{"type": "ScalingActive", "status": "False", "reason": reason, "message": message}])
}

fn nothing() -> Value {
    json!([{"type": ""}, {"type": ""}])
}

/// A KEDA ScaledObject on loadPercent and CPU, with an HPA that reads both.
fn keda() -> (ValidatedModelService, Observed) {
    let model_service = validated(json!({"autoscaling": {"engine": "KEDA", "targets": {
        "cpuUtilizationPercent": 70, "loadPercent": 75,
    }}}));
    let (_, mut observed) = deployed("KEDA", rolled_out());
    let scaled_object = applied(&model_service, with_keda()).scaled_object.unwrap();
    observed.scaled_object.as_mut().unwrap().spec = scaled_object.spec;
    observed.pods = vec![pod(&model_service, "a", serving())];
    let mut hpa = healthy().1.horizontal_pod_autoscaler.unwrap();
    hpa.spec.as_mut().unwrap().metrics = Some(
        serde_json::from_value(json!([
            {"type": "External", "external": {
                "metric": {"name": "s0-prometheus"},
                "target": {"type": "AverageValue", "averageValue": "75"},
            }},
            {"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70},
            }},
        ]))
        .unwrap(),
    );
    observed.keda_horizontal_pod_autoscaler = Some(hpa);
    (model_service, observed)
}

fn keda_reads(observed: &mut Observed, active: Value, load: Value, cpu: Value) {
    observed
        .keda_horizontal_pod_autoscaler
        .as_mut()
        .unwrap()
        .status = Some(
        serde_json::from_value(json!({
            "desiredReplicas": 2, "conditions": active, "currentMetrics": [load, cpu],
        }))
        .unwrap(),
    );
}

fn load() -> Value {
    json!({"type": "External", "external": {
        "metric": {"name": "s0-prometheus"}, "current": {"averageValue": "50"},
    }})
}

fn cpu() -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 50}}})
}

fn active() -> Value {
    json!([{"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}])
}

#[test]
fn why_an_hpa_has_no_reading_is_named() {
    for (said, cause) in [
        (
            "unable to fetch metrics from resource metrics API: the server is currently unable to handle the request (get pods.metrics.k8s.io)",
            "check that metrics-server is installed and runs",
        ),
        (
            "no metrics returned from resource metrics API",
            "metrics-server has no metrics of the pods",
        ),
        (
            "container server not present in metrics for pod default/iris-5d9c",
            "metrics-server has no metrics of the pods",
        ),
        (
            "missing request for cpu in container server of Pod iris-5d9c",
            "spec.server.resources.requests",
        ),
        // An HPA of whole pods, from a previous version.
        (
            "missing request for cpu in container mesh of Pod iris-5d9c",
            "container mesh, which an admission webhook or another controller adds to the pods",
        ),
    ] {
        let reason = if said.contains("server not present") {
            "FailedGetContainerResourceMetric"
        } else {
            "FailedGetResourceMetric"
        };
        let condition_of_hpa = failed(reason, &format!("{UNABLE} {said}"));
        let (model_service, observed) = hpa(condition_of_hpa, nothing());
        let status = status_of(&model_service, &observed);
        assert_eq!(
            condition(&status, "MetricsHealthy"),
            no("FailedGetResourceMetric")
        );
        let message = message(&status, "MetricsHealthy");
        assert!(message.contains(cause), "{message}");
        assert!(
            message.contains("cpuUtilizationPercent, memoryUtilizationPercent"),
            "{message}"
        );
        assert!(!message.contains("iris-5d9c"), "{message}");
        assert_eq!(condition(&status, "Ready"), yes("Ready"));
    }
}

/// After an upgrade, until the HPA's next sync.
#[test]
fn readings_of_whole_pods_count_until_the_next_sync() {
    let memory = json!({"type": "Resource", "resource": {"name": "memory", "current": {"averageUtilization": 5}}});
    let (model_service, observed) = hpa(active(), json!([cpu(), memory]));
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "MetricsHealthy"), yes("Readings"));
}

#[test]
fn a_reading_that_is_missing_counts_also_while_others_ask_for_more() {
    let metrics = json!([cpu(), {"type": ""}]);
    let (model_service, observed) = hpa(active(), metrics);
    let status = status_of(&model_service, &observed);
    assert_eq!(
        condition(&status, "MetricsHealthy"),
        no("FailedGetResourceMetric")
    );
    let message = message(&status, "MetricsHealthy");
    assert!(
        message.starts_with("No reading of memoryUtilizationPercent:"),
        "{message}"
    );
}

#[test]
fn an_hpa_that_only_keeps_its_bounds_lacks_nothing() {
    let (model_service, observed) = hpa(active(), json!([]));
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "MetricsHealthy"), yes("Readings"));
}

#[test]
fn readings_have_time_to_come_and_then_the_condition_turns_by_itself() {
    let (model_service, mut observed) = hpa(failed("FailedGetResourceMetric", UNABLE), nothing());
    let again = |observed: &Observed, now| {
        let status = status_of(&model_service, observed);
        requeue_at(&model_service, observed, &status, at(now))
    };
    assert_eq!(again(&observed, 0), None);
    let made = &mut observed
        .horizontal_pod_autoscaler
        .as_mut()
        .unwrap()
        .metadata;
    made.creation_timestamp = Some(Time(at(-30)));
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "MetricsHealthy"), unknown("Starting"));
    assert!(
        events(None, &status)
            .iter()
            .all(|event| event.action != "MetricsHealthy")
    );
    assert_eq!(again(&observed, 0), Some(at(60)));
    assert_eq!(again(&observed, 60), None);

    // Without a ready pod there is nothing to read.
    observed.pods = Vec::new();
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "MetricsHealthy"), unknown("Starting"));
    assert_eq!(again(&observed, 0), None);
}

#[test]
fn a_reading_that_is_lost_early_is_reported_at_once() {
    let (model_service, mut observed) = hpa(failed("FailedGetResourceMetric", UNABLE), nothing());
    let made = |observed: &mut Observed, seconds: i64| {
        let hpa = observed.horizontal_pod_autoscaler.as_mut().unwrap();
        hpa.metadata.creation_timestamp = Some(Time(at(seconds)));
    };
    let (_, readable) = healthy();
    let mut came = status_of(&model_service, &readable);
    assert_eq!(condition(&came, "MetricsHealthy"), yes("Readings"));
    let after = |observed: &Observed, came: &ModelServiceStatus| {
        let status = status_after(&model_service, observed, Some(came));
        condition(&status, "MetricsHealthy")
    };
    for known in &mut came.conditions {
        known.last_transition_time = Time(at(-20));
    }
    made(&mut observed, -30);
    assert_eq!(after(&observed, &came), no("FailedGetResourceMetric"));
    let told = status_after(&model_service, &observed, Some(&came));
    assert_eq!(after(&observed, &told), no("FailedGetResourceMetric"));
    // The earlier readings were another autoscaler's.
    made(&mut observed, -10);
    assert_eq!(after(&observed, &came), unknown("Starting"));
}

#[test]
fn keda_without_prometheus_names_the_signal_and_the_address() {
    let (model_service, mut observed) = keda();
    keda_reads(&mut observed, active(), load(), cpu());
    assert_eq!(
        condition(&status_of(&model_service, &observed), "MetricsHealthy"),
        yes("Readings")
    );
    let with = |observed: &mut Observed, status: Value| {
        observed.scaled_object.as_mut().unwrap().status =
            Some(serde_json::from_value(status).unwrap());
        let status = status_of(&model_service, observed);
        (
            condition(&status, "MetricsHealthy"),
            message(&status, "MetricsHealthy"),
        )
    };
    let health = json!({"s0-prometheus": {"numberOfFailures": 1, "status": "Failing"}});
    let (found, message) = with(&mut observed, json!({"conditions": [], "health": health}));
    assert_eq!(found, no("TriggerError"));
    assert_eq!(
        message,
        "KEDA gets no reading of loadPercent. Check that Prometheus (http://prometheus.monitoring.svc:9090) is up and scrapes the pods at the interval in prometheus.scrapeIntervalSeconds of the operator's chart. Meanwhile, no pod is removed."
    );
    let fallback = json!([{"type": "Fallback", "status": "True"}]);
    let (found, _) = with(
        &mut observed,
        json!({"conditions": fallback, "health": health}),
    );
    assert_eq!(found, no("FallbackActive"));
    let happy = json!({"s0-prometheus": {"numberOfFailures": 0, "status": "Happy"}});
    let (found, _) = with(&mut observed, json!({"conditions": [], "health": happy}));
    assert_eq!(found, yes("Readings"));
}

#[test]
fn faults_of_keda_and_metrics_server_are_reported_together() {
    let (model_service, mut observed) = keda();
    let unable = failed("FailedGetExternalMetric", "unable to get external metric");
    keda_reads(
        &mut observed,
        unable,
        json!({"type": ""}),
        json!({"type": ""}),
    );
    let status = status_of(&model_service, &observed);
    assert_eq!(
        condition(&status, "MetricsHealthy"),
        no("FailedGetResourceMetric")
    );
    let both = message(&status, "MetricsHealthy");
    assert!(
        both.contains("No reading of cpuUtilizationPercent"),
        "{both}"
    );
    assert!(
        both.contains("No reading of loadPercent: KEDA serves no metrics"),
        "{both}"
    );

    let unable = failed("FailedGetExternalMetric", "unable to get external metric");
    keda_reads(&mut observed, unable, json!({"type": ""}), cpu());
    let status = status_of(&model_service, &observed);
    assert_eq!(
        condition(&status, "MetricsHealthy"),
        no("FailedGetExternalMetric")
    );
}

#[test]
fn a_fault_of_an_adapter_differs_from_one_of_metrics_server() {
    let (model_service, mut observed) = hpa(
        failed(
            "FailedGetPodsMetric",
            "unable to fetch metrics from custom metrics API: no",
        ),
        json!([{"type": ""}]),
    );
    let spec = observed
        .horizontal_pod_autoscaler
        .as_mut()
        .unwrap()
        .spec
        .as_mut();
    spec.unwrap().metrics = Some(
        serde_json::from_value(json!([{"type": "Pods", "pods": {
            "metric": {"name": "springtide_queue_size"},
            "target": {"type": "AverageValue", "averageValue": "20"},
        }}]))
        .unwrap(),
    );
    let status = status_of(&model_service, &observed);
    assert_eq!(
        condition(&status, "MetricsHealthy"),
        no("FailedGetPodsMetric")
    );
    let message = message(&status, "MetricsHealthy");
    assert!(message.starts_with("No reading of queueSize:"), "{message}");
    assert!(
        message.contains("adapter of the custom metrics API"),
        "{message}"
    );
}
