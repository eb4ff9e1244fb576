//! Pods that wait for a ConfigMap, or its key, and are replaced once it exists.

use k8s_openapi::{
    api::core::v1::Pod,
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference, Time},
    jiff::SignedDuration,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use springtide_plan::{
    Observed, PodToReplace, ValidatedModelService, labels, pending_config_map, pods_to_replace,
};

use crate::support::{at, requeue_at, status_of, validated};

const NOT_FOUND: &str = r#"{"reason":"ModelNotFound","message":"there is no file"}"#;

fn ended(message: &str) -> Value {
    json!({"terminated": {"exitCode": 1, "message": message, "finishedAt": at(3).to_string()}})
}

fn in_back_off(message: &str) -> Value {
    json!({
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": ended(message),
    })
}

/// A pod of the ModelService's ReplicaSet that was created at this second. `fetch` is the status of the container that
/// fetches the model.
fn pod(name: &str, made: i64, fetch: &Value) -> Pod {
    let mut status = json!({
        "name": "fetch-model", "ready": false, "image": "", "imageID": "", "restartCount": 4,
    });
    status
        .as_object_mut()
        .unwrap()
        .extend(fetch.as_object().unwrap().clone());
    let mut pod = Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            uid: Some(format!("uid-of-{name}")),
            creation_timestamp: Some(Time(at(made))),
            labels: Some(labels::of("iris")),
            annotations: Some(
                [(
                    labels::MODEL_URI.to_owned(),
                    "configMap://iris/model.onnx".to_owned(),
                )]
                .into(),
            ),
            owner_references: Some(vec![OwnerReference {
                api_version: "apps/v1".to_owned(),
                kind: "ReplicaSet".to_owned(),
                name: "iris-5d4".to_owned(),
                uid: "uid-of-the-replica-set".to_owned(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        status: Some(serde_json::from_value(json!({"initContainerStatuses": [status]})).unwrap()),
        ..Pod::default()
    };
    let labels = pod.metadata.labels.as_mut().unwrap();
    labels.insert("pod-template-hash".to_owned(), "5d4".to_owned());
    pod
}

fn with_pods(pods: Vec<Pod>) -> (ValidatedModelService, Observed) {
    let observed = Observed {
        at: at(100),
        pods,
        ..Observed::default()
    };
    (validated(json!({})), observed)
}

/// A ConfigMap that was created at a second, and changed at others.
fn config_map(made: i64, changes: &[i64]) -> ObjectMeta {
    let change = |second: &i64| ManagedFieldsEntry {
        time: Some(Time(at(*second))),
        ..ManagedFieldsEntry::default()
    };
    ObjectMeta {
        creation_timestamp: Some(Time(at(made))),
        managed_fields: Some(changes.iter().map(change).collect()),
        ..ObjectMeta::default()
    }
}

fn replaced(pods: Vec<Pod>, config_map: &ObjectMeta) -> Vec<String> {
    let (model_service, observed) = with_pods(pods);
    pods_to_replace(&model_service, &observed, config_map)
        .into_iter()
        .map(|pod| pod.name)
        .collect()
}

#[test]
fn pods_that_wait_are_replaced_once_the_config_map_has_come() {
    let waiting = || {
        vec![
            pod("a", 0, &in_back_off(NOT_FOUND)),
            pod("b", 50, &in_back_off(NOT_FOUND)),
        ]
    };
    let (model_service, observed) = with_pods(waiting());
    assert_eq!(pending_config_map(&model_service, &observed), Some("iris"));
    let came = config_map(50, &[50]);
    assert_eq!(replaced(waiting(), &came), ["a", "b"]);
    let by_uid = pods_to_replace(&model_service, &observed, &came);
    let first = PodToReplace {
        name: "a".to_owned(),
        uid: "uid-of-a".to_owned(),
    };
    assert_eq!(by_uid[0], first);
    // Created later, the pod has seen the current content.
    assert_eq!(replaced(waiting(), &config_map(20, &[20])), ["a"]);
    assert_eq!(replaced(waiting(), &config_map(-10, &[])), [""; 0]);
}

#[test]
fn a_key_that_comes_later_is_a_change_of_the_config_map() {
    let waiting = vec![pod("a", 0, &in_back_off(NOT_FOUND))];
    assert_eq!(
        replaced(waiting.clone(), &config_map(-100, &[-100, -50])),
        [""; 0]
    );
    assert_eq!(
        replaced(waiting.clone(), &config_map(-100, &[60, -50])),
        ["a"]
    );
    assert_eq!(replaced(waiting, &ObjectMeta::default()), [""; 0]);
}

#[test]
fn a_pod_that_has_just_ended_waits_as_well() {
    let ended = json!({"state": ended(NOT_FOUND)});
    assert_eq!(
        replaced(vec![pod("a", 0, &ended)], &config_map(1, &[])),
        ["a"]
    );
}

#[test]
fn only_pods_that_wait_for_their_model_are_deleted() {
    let mut leaving = pod("leaving", 0, &in_back_off(NOT_FOUND));
    leaving.metadata.deletion_timestamp = Some(Time(at(1)));
    let mut of_nobody = pod("of-nobody", 0, &in_back_off(NOT_FOUND));
    of_nobody.metadata.owner_references = None;
    let mut of_another = pod("of-another", 0, &in_back_off(NOT_FOUND));
    of_another.metadata.owner_references.as_mut().unwrap()[0].name = "iris-2-5d4".to_owned();
    let mut of_a_job = pod("of-a-job", 0, &in_back_off(NOT_FOUND));
    of_a_job.metadata.owner_references.as_mut().unwrap()[0].kind = "Job".to_owned();
    let mut not_controlled = pod("not-controlled", 0, &in_back_off(NOT_FOUND));
    not_controlled.metadata.owner_references.as_mut().unwrap()[0].controller = None;
    let mut without_uid = pod("without-uid", 0, &in_back_off(NOT_FOUND));
    without_uid.metadata.uid = None;
    let mut of_a_former_model = pod("former", 0, &in_back_off(NOT_FOUND));
    let annotations = of_a_former_model.metadata.annotations.as_mut().unwrap();
    annotations.insert(
        labels::MODEL_URI.to_owned(),
        "configMap://iris/old".to_owned(),
    );
    let running = json!({"state": {"running": {}}, "lastState": ended(NOT_FOUND)});
    let done = json!({"state": {"terminated": {"exitCode": 0}}, "lastState": ended(NOT_FOUND)});
    let other_fault = r#"{"reason":"ChecksumMismatch","message":"another"}"#;
    let pods = vec![
        leaving,
        of_nobody,
        of_another,
        of_a_job,
        not_controlled,
        without_uid,
        of_a_former_model,
        pod("running", 0, &running),
        pod("done", 0, &done),
        pod("other-fault", 0, &in_back_off(other_fault)),
        pod("silent", 0, &in_back_off("")),
        pod(
            "starting",
            0,
            &json!({"state": {"waiting": {"reason": "PodInitializing"}}}),
        ),
    ];
    assert_eq!(replaced(pods, &config_map(50, &[60])), [""; 0]);
}

#[test]
fn only_a_config_map_is_looked_at_and_only_while_pods_wait() {
    let again = |spec: Value, pods: Vec<Pod>| {
        let (_, observed) = with_pods(pods);
        let model_service = validated(spec);
        let status = status_of(&model_service, &observed);
        let again = requeue_at(&model_service, &observed, &status, at(100));
        let seconds = again.map(|again| again.duration_since(at(100)));
        let awaited = pending_config_map(&model_service, &observed).map(str::to_owned);
        (awaited, seconds)
    };
    let waiting = || vec![pod("a", 0, &in_back_off(NOT_FOUND))];
    let in_ten_seconds = Some(SignedDuration::from_secs(10));
    assert_eq!(
        again(json!({}), waiting()),
        (Some("iris".to_owned()), in_ten_seconds)
    );
    assert_eq!(again(json!({}), Vec::new()), (None, None));
    let running = json!({"state": {"running": {}}});
    assert_eq!(again(json!({}), vec![pod("a", 0, &running)]), (None, None));
    for uri in ["pvc://models/iris.onnx", "configMap://iris/other.onnx"] {
        let mut waits = waiting();
        let annotations = waits[0].metadata.annotations.as_mut().unwrap();
        if uri.starts_with("pvc") {
            annotations.insert(labels::MODEL_URI.to_owned(), uri.to_owned());
        }
        assert_eq!(
            again(json!({"model": {"uri": uri}}), waits),
            (None, None),
            "{uri}"
        );
    }
}

proptest! {
    /// Each change of a ConfigMap replaces a pod at most once, however often it is read, and whatever the new pods
    /// lack. A replacement is created at least a second after its decision.
    #[test]
    fn there_is_no_loop(changes in prop::collection::vec(0..1000_i64, 0..5), made in 0..1000_i64) {
        let mut made = made;
        let mut deletions = 0;
        for now in (0..1100).step_by(10) {
            let seen = changes.iter().copied().filter(|change| *change <= now).collect::<Vec<_>>();
            let waiting = vec![pod("a", made, &in_back_off(NOT_FOUND))];
            let there = config_map(-1, &seen);
            if now >= made && !replaced(waiting, &there).is_empty() {
                deletions += 1;
                made = now + 1;
            }
        }
        prop_assert!(deletions <= changes.len(), "{deletions} of {changes:?}");
    }
}
