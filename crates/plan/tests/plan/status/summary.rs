//! The summary `Ready`, and the order of conditions.

use serde_json::json;
use springtide_api::ModelServiceStatus;
use springtide_plan::{Applied, ChildKind, Failure, Observed, desired, status};

use super::{
    checksum_mismatch, deployed, fetch_failed, healthy, no, pod, unavailable, unknown, yes,
};
use crate::support::{at, condition, message, settings, status_of, with_engine, with_keda};

#[test]
fn a_healthy_model_service_is_ready() {
    let (model_service, observed) = healthy();
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "Ready"), yes("Ready"));
    assert_eq!(condition(&status, "ModelLoaded"), yes("Loaded"));
    assert_eq!(condition(&status, "WorkloadAvailable"), yes("Available"));
    assert_eq!(condition(&status, "AutoscalingReady"), yes("Scaling"));
    assert_eq!(condition(&status, "MetricsHealthy"), yes("Readings"));
    assert_eq!(condition(&status, "RolloutComplete"), yes("Complete"));
    assert_eq!(
        (
            status.replicas,
            status.ready_replicas,
            status.desired_replicas
        ),
        (Some(2), Some(2), Some(3))
    );
    assert_eq!(status.url.as_deref(), Some("http://iris.default.svc"));
    assert_eq!(
        status.selector.as_deref(),
        Some("app.kubernetes.io/instance=iris,app.kubernetes.io/name=modelservice")
    );
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn a_new_model_service_is_not_ready_yet() {
    let model_service = with_engine("HPA");
    let status = status_of(&model_service, &with_keda());
    assert_eq!(condition(&status, "Ready"), unknown("Loading"));
    assert_eq!(condition(&status, "WorkloadAvailable"), unknown("Starting"));
    assert_eq!(condition(&status, "AutoscalingReady"), unknown("Starting"));
    assert_eq!(condition(&status, "RolloutComplete"), unknown("RollingOut"));
}

#[test]
fn failed_applies_are_reported_by_the_matching_condition() {
    let (model_service, observed) = healthy();
    for (kind, type_) in [
        (ChildKind::Deployment, "WorkloadAvailable"),
        (ChildKind::Service, "WorkloadAvailable"),
        (ChildKind::HorizontalPodAutoscaler, "AutoscalingReady"),
    ] {
        let failure = Failure {
            reason: "Forbidden".to_owned(),
            message: "no right to do so".to_owned(),
        };
        let mut applied = Applied::new(observed.clone());
        applied.record_failure(kind, failure);
        let desired = desired(&model_service, &observed, &settings());
        let status = status(&model_service, &applied, &desired, None, at(0));
        assert_eq!(condition(&status, type_), no("Forbidden"));
        assert_eq!(
            message(&status, type_),
            format!("{kind}: no right to do so")
        );
        assert_eq!(condition(&status, "Ready"), no("Forbidden"));
    }
}

#[test]
fn the_order_in_which_pods_are_seen_changes_nothing() {
    let (model_service, mut observed) = deployed("HPA", unavailable());
    let not_found = json!({"terminated": {
        "exitCode": 1, "message": r#"{"reason":"ModelNotFound","message":"no key"}"#,
    }});
    observed.pods = vec![
        pod(
            &model_service,
            "a",
            fetch_failed(checksum_mismatch(), json!({})),
        ),
        pod(&model_service, "b", fetch_failed(not_found, json!({}))),
    ];
    let before = status_of(&model_service, &observed);
    observed.pods.reverse();
    assert_eq!(status_of(&model_service, &observed), before);
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let (model_service, observed) = healthy();
    let status_at = |observed: &Observed, previous, second| {
        let desired = desired(&model_service, observed, &settings());
        status(
            &model_service,
            &Applied::new(observed.clone()),
            &desired,
            previous,
            at(second),
        )
    };
    let time = |status: &ModelServiceStatus, kind: &str| {
        let condition = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == kind);
        condition.unwrap().last_transition_time.0
    };
    let first = status_at(&observed, None, 0);
    assert_eq!(status_at(&observed, Some(&first), 60), first);

    let changed = status_at(
        &Observed {
            pods: Vec::new(),
            ..observed
        },
        Some(&first),
        60,
    );
    assert_eq!(time(&changed, "ModelLoaded"), at(60));
    assert_eq!(time(&changed, "Ready"), at(60));
    assert_eq!(time(&changed, "WorkloadAvailable"), at(0));
}

#[test]
fn a_very_long_message_is_cut_at_a_character() {
    let (model_service, observed) = healthy();
    let failure = Failure {
        reason: "Broken".to_owned(),
        message: "ä".repeat(10_000),
    };
    let mut applied = Applied::new(observed.clone());
    applied.record_failure(ChildKind::Deployment, failure);
    let desired = desired(&model_service, &observed, &settings());
    let status = status(&model_service, &applied, &desired, None, at(0));
    let length = message(&status, "WorkloadAvailable").len();
    assert!((2000..=2048).contains(&length), "{length}");
}
