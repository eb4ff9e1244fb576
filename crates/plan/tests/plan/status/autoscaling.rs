//! `AutoscalingReady` and `MetricsHealthy`.

use serde_json::{Value, json};
use springtide_plan::Observed;

use super::{deployed, healthy, no, rolled_out, unknown, yes};
use crate::support::{condition, message, status_of, validated};

#[test]
fn signals_that_an_hpa_cannot_follow_are_named() {
    let (_, observed) = healthy();
    let model_service = validated(json!({"autoscaling": {
        "targets": {"requestsPerSecond": 10, "p95LatencyMilliseconds": 100},
    }}));
    let status = status_of(&model_service, &observed);
    assert_eq!(
        condition(&status, "AutoscalingReady"),
        yes("ServingSignalsIgnored")
    );
    let message = message(&status, "AutoscalingReady");
    assert!(
        message.contains("requestsPerSecond, p95LatencyMilliseconds"),
        "{message}"
    );
}

#[test]
fn an_hpa_that_cannot_scale_or_read_says_so() {
    let (model_service, mut observed) = healthy();
    let set = |observed: &mut Observed, index: usize, reason: &str| {
        let hpa = observed.horizontal_pod_autoscaler.as_mut().unwrap();
        let condition = &mut hpa.status.as_mut().unwrap().conditions.as_mut().unwrap()[index];
        condition.status = "False".to_owned();
        condition.reason = Some(reason.to_owned());
    };
    set(&mut observed, 1, "FailedGetResourceMetric");
    let status = status_of(&model_service, &observed);
    assert_eq!(
        condition(&status, "MetricsHealthy"),
        no("FailedGetResourceMetric")
    );
    assert!(message(&status, "MetricsHealthy").contains("metrics-server"));
    assert_eq!(condition(&status, "Ready"), yes("Ready"));

    set(&mut observed, 0, "FailedGetScale");
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "AutoscalingReady"), no("FailedGetScale"));
    assert_eq!(condition(&status, "Ready"), no("FailedGetScale"));
}

#[test]
fn keda_speaks_for_its_scaled_object() {
    let (model_service, mut observed) = deployed("KEDA", rolled_out());
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
    // KEDA sets all conditions to Unknown before its first look.
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
            (yes("Scaling"), no(reason))
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
