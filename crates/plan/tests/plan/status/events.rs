//! Events.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use springtide_api::status::Decision;
use springtide_plan::{Event, Severity, events};

use super::{checksum_mismatch, fetch_failed, healthy, pod};
use crate::support::{at, status_of};

#[test]
fn temporary_states_are_normal_events() {
    let (model_service, mut observed) = healthy();
    let good = status_of(&model_service, &observed);
    observed.deployment = observed.deployment.map(|mut deployment| {
        let status = deployment.status.get_or_insert_default();
        status.conditions = None;
        status.updated_replicas = Some(0);
        status.available_replicas = None;
        deployment
    });
    let starting = status_of(&model_service, &observed);
    let told = events(Some(&good), &starting);
    let severity = |reason| {
        told.iter()
            .find(|event| event.reason == reason)
            .map(|event| event.severity)
    };
    assert_eq!(severity("Starting"), Some(Severity::Normal), "{told:?}");
    assert_eq!(severity("RollingOut"), Some(Severity::Normal), "{told:?}");
    // The start of a new ModelService is one event.
    let told = events(None, &starting);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].severity, Severity::Normal);
    // A first decision is that event, too.
    let mut decided = starting;
    decided.autoscaling.as_mut().unwrap().decisions = vec![Decision {
        time: Time(at(0)),
        from: 0,
        to: 2,
        signal: None,
        value: None,
        target: None,
        limited_by: None,
        message: "Scaled up from 0 to 2 pods.".to_owned(),
    }];
    let told = events(None, &decided);
    let reasons: Vec<_> = told.iter().map(|event| &*event.reason).collect();
    assert_eq!(reasons, ["ScaledUp"]);
}

#[test]
fn events_report_changes() {
    let (model_service, mut observed) = healthy();
    let good = status_of(&model_service, &observed);
    let told = events(None, &good);
    let [told] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((told.severity, &*told.action), (Severity::Normal, "Ready"));
    assert_eq!(events(Some(&good), &good), []);

    observed.pods = vec![pod(
        &model_service,
        "a",
        fetch_failed(checksum_mismatch(), json!({})),
    )];
    let bad = status_of(&model_service, &observed);
    let warning = Event {
        severity: Severity::Warning,
        action: "ModelLoaded".to_owned(),
        reason: "ChecksumMismatch".to_owned(),
        message: "expected aa, got bb".to_owned(),
    };
    assert_eq!(events(Some(&good), &bad), [warning]);
    assert_eq!(events(Some(&bad), &bad), []);
    let recovered = events(Some(&bad), &good);
    let conditions = recovered.iter().map(|event| event.action.as_str());
    assert_eq!(conditions.collect::<Vec<_>>(), ["Ready", "ModelLoaded"]);
}
