//! Texts of other clients reach conditions and events as bounded text on one line, and as a reason only if they are
//! valid.

use serde_json::{Value, json};
use springtide_api::ModelServiceStatus;
use springtide_plan::{
    Applied, ChildKind, Failure, Observed, ValidatedModelService, desired, events,
    observation_failed_status, status,
};

use super::{container, deployed, no, pod, rolled_out, serving, unavailable, unknown};
use crate::support::{at, condition, message, model_service, settings, status_of, with_engine};

/// A text that clears a terminal, starts new lines, changes the writing direction, and never ends.
fn hostile() -> String {
    format!("\u{1b}[2Jhostile\r\n\u{202e}\u{0}{}", "x".repeat(100_000))
}

/// Conditions and events have only valid names and bounded text on one line.
fn assert_plain(source: &str, status: &ModelServiceStatus) {
    let is_raw = |character: char| character.is_control() || character == '\u{202e}';
    let told = events(None, status)
        .into_iter()
        .map(|event| (event.reason, event.message));
    let conditions = status
        .conditions
        .iter()
        .map(|condition| (condition.reason.clone(), condition.message.clone()));
    for (reason, message) in conditions.chain(told) {
        let is_name = reason
            .chars()
            .all(|character| character.is_ascii_alphanumeric());
        assert!(
            is_name && (1..=128).contains(&reason.len()),
            "{source}: {reason:?}"
        );
        assert!(message.len() <= 2048, "{source}: {}", message.len());
        assert!(!message.contains(is_raw), "{source}: {message:?}");
    }
}

fn keda_says(status: &str, reason: &str) -> (ValidatedModelService, Observed) {
    let (model_service, mut observed) = deployed("KEDA", rolled_out());
    observed.scaled_object.as_mut().unwrap().status = Some(
        serde_json::from_value(json!({"conditions": [{
            "type": "Ready", "status": status, "reason": reason, "message": hostile(),
        }]}))
        .unwrap(),
    );
    (model_service, observed)
}

fn hpa_says(conditions: Value) -> (ValidatedModelService, Observed) {
    let (model_service, mut observed) = deployed("HPA", rolled_out());
    observed.pods = vec![pod(&model_service, "a", serving())];
    // It has readings of all metrics.
    let read = ["cpu", "memory"].map(|name| {
        json!({"type": "Resource", "resource": {
            "name": name, "current": {"averageUtilization": 10, "averageValue": "1"},
        }})
    });
    observed.horizontal_pod_autoscaler.as_mut().unwrap().status = Some(
        serde_json::from_value(json!({
            "desiredReplicas": 2, "conditions": conditions, "currentMetrics": read,
        }))
        .unwrap(),
    );
    (model_service, observed)
}

fn deployment_says() -> (ValidatedModelService, Observed) {
    let mut status = unavailable();
    let failure = json!({"type": "ReplicaFailure", "status": "True", "reason": hostile(), "message": hostile()});
    status["conditions"].as_array_mut().unwrap().push(failure);
    deployed("HPA", status)
}

fn pod_says(status: Value) -> (ValidatedModelService, Observed) {
    let (model_service, mut observed) = deployed("HPA", unavailable());
    observed.pods = vec![pod(&model_service, "a", status)];
    (model_service, observed)
}

fn image(image: &str) -> Value {
    let mut server = container(
        "server",
        false,
        json!({"waiting": {"reason": "ImagePullBackOff", "message": hostile()}}),
        json!({}),
    );
    server["image"] = json!(image);
    json!({"containerStatuses": [server]})
}

#[test]
fn texts_of_other_controllers_and_pods_are_bounded_and_plain() {
    let odd_reasons = [&*hostile(), "", "two words", "größe"];
    let of_keda = odd_reasons.map(|reason| {
        (
            "KEDA",
            keda_says("False", reason),
            "AutoscalingReady",
            no("ScaledObjectNotReady"),
            "hostile",
        )
    });
    let of_hpas = odd_reasons.map(|reason| {
        let unable = json!([{"type": "AbleToScale", "status": "False", "reason": reason, "message": hostile()}]);
        (
            "the HPA",
            hpa_says(unable),
            "AutoscalingReady",
            no("UnableToScale"),
            "can't read or update",
        )
    });
    let of_readings = odd_reasons.map(|reason| {
        let inactive = json!([{"type": "ScalingActive", "status": "False", "reason": reason, "message": hostile()}]);
        (
            "the HPA's readings",
            hpa_says(inactive),
            "MetricsHealthy",
            no("MetricsUnavailable"),
            "lacks a reading",
        )
    });
    let others = [
        (
            "KEDA that doesn't know",
            keda_says("Unknown", &hostile()),
            "AutoscalingReady",
            unknown("ScaledObjectNotReady"),
            "hostile",
        ),
        (
            "the Deployment's controller",
            deployment_says(),
            "WorkloadAvailable",
            no("PodsRefused"),
            "hostile",
        ),
        (
            "the scheduler",
            pod_says(json!({"conditions": [{
                "type": "PodScheduled", "status": "False", "reason": hostile(), "message": hostile(),
            }]})),
            "WorkloadAvailable",
            no("Unschedulable"),
            "hostile",
        ),
        (
            "an image's name",
            pod_says(image(&hostile())),
            "WorkloadAvailable",
            no("ImagePullFailed"),
            "hostile",
        ),
    ];
    let all = of_keda.into_iter().chain(of_hpas).chain(of_readings);
    for (source, (model_service, observed), kind, expected, says) in all.chain(others) {
        let status = status_of(&model_service, &observed);
        assert_eq!(condition(&status, kind), expected, "{source}");
        let message = message(&status, kind);
        assert!(message.contains(says), "{source}: {message}");
        assert_plain(source, &status);
    }
}

#[test]
fn texts_of_the_api_server_are_bounded_and_plain() {
    let validated = with_engine("HPA");
    let observed = Observed::default();
    let desired = desired(&validated, &observed, &settings());
    for kind in ChildKind::ALL {
        let failure = Failure {
            reason: "Forbidden".to_owned(),
            message: hostile(),
        };
        let mut applied = Applied::new(observed.clone());
        applied.record_failure(kind, failure);
        let status = status(&validated, &applied, &desired, None, at(0));
        assert_plain(&kind.to_string(), &status);
    }
    let failure = Failure {
        reason: "Forbidden".to_owned(),
        message: hostile(),
    };
    let status = observation_failed_status(&model_service(json!({})), &failure, None, at(0));
    assert!(message(&status, "Ready").contains("hostile"));
    assert_plain("a call that failed", &status);
}
