//! `WorkloadAvailable` for pods that are scheduled but don't start their first container.

use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};
use springtide_plan::{Observed, ValidatedModelService, stuck_pod_uid};

use super::{container, deployed, no, pod, serving, unavailable};
use crate::support::{at, condition, message, requeue_at, status_of, validated};

/// A pod that was scheduled at `second` and hasn't started a container.
fn stuck(second: i64) -> Value {
    let waits = |name: &str| {
        container(
            name,
            false,
            json!({"waiting": {"reason": "PodInitializing"}}),
            json!({}),
        )
    };
    json!({
        "phase": "Pending",
        "conditions": [
            {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": at(second).to_string()},
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": at(second).to_string()},
        ],
        "initContainerStatuses": [waits("fetch-model")],
        "containerStatuses": [waits("server")],
    })
}

fn event(reason: &str, message: &str, second: i64) -> Event {
    serde_json::from_value(json!({
        "metadata": {}, "involvedObject": {"uid": "the-uid"}, "reason": reason, "message": message,
        "lastTimestamp": at(second).to_string(),
    }))
    .unwrap()
}

/// A ModelService with a model from a claim, and its pod with this status and these events.
fn of_claim(pod_status: Value, events: Vec<Event>) -> (ValidatedModelService, Observed) {
    let model_service = validated(json!({
        "model": {"uri": "pvc://models/iris.onnx"}, "autoscaling": {"engine": "HPA"},
    }));
    let (_, mut observed) = deployed("HPA", unavailable());
    let mut pod = pod(&model_service, "a", pod_status);
    pod.metadata.uid = Some("the-uid".to_owned());
    observed.pods = vec![pod];
    observed.events = events;
    (model_service, observed)
}

#[test]
fn a_volume_that_cannot_be_mounted_is_named() {
    const MOUNT: &str = "MountVolume.SetUp failed for volume \"nfs\" : hostPath type check failed: /there is not a directory";
    const TIMEOUT: &str = "Unable to attach or mount volumes: unmounted volumes=[source]: timed out waiting for the condition";
    const ATTACHED: &str = "Multi-Attach error for volume \"pvc-0f8fad5b-d9cb-469f-a165-70867728950e\" Volume is already used by pod(s) iris-5d9c-x7";
    for (events, reason, says) in [
        (
            vec![("FailedMount", MOUNT)],
            "VolumeNotMounted",
            "claim models: MountVolume.SetUp failed for volume \"nfs\"",
        ),
        // The newest event, except for one that only reports a timeout.
        (
            vec![("FailedMount", MOUNT), ("FailedMount", TIMEOUT)],
            "VolumeNotMounted",
            "is not a directory",
        ),
        (
            vec![("FailedMount", TIMEOUT)],
            "VolumeNotMounted",
            "timed out",
        ),
        (
            vec![("FailedMount", MOUNT), ("FailedAttachVolume", ATTACHED)],
            "VolumeNotMounted",
            "its volume allows only one node",
        ),
        (
            vec![(
                "FailedAttachVolume",
                "AttachVolume.Attach failed for volume \"v\" : rpc error: code = Internal desc = no such disk",
            )],
            "VolumeNotMounted",
            "no such disk",
        ),
        (
            vec![(
                "FailedCreatePodSandBox",
                "Failed to create pod sandbox: no IP addresses available",
            )],
            "ContainerNotStarted",
            "no IP addresses available",
        ),
        (
            vec![("Scheduled", "Successfully assigned")],
            "Starting",
            "No pod is ready yet.",
        ),
        (vec![], "Starting", "No pod is ready yet."),
    ] {
        let events = (0..)
            .zip(events)
            .map(|(second, (reason, message))| event(reason, message, second - 10));
        let (model_service, observed) = of_claim(stuck(-30), events.collect());
        assert_eq!(stuck_pod_uid(&observed, at(0)).as_deref(), Some("the-uid"));
        let status = status_of(&model_service, &observed);
        assert_eq!(condition(&status, "WorkloadAvailable"), no(reason));
        let said = message(&status, "WorkloadAvailable");
        assert!(said.contains(says), "{said}");
        assert!(
            !said.contains("iris-5d9c-x7") && !said.contains("0f8fad5b"),
            "{said}"
        );
    }
}

#[test]
fn events_are_read_only_for_stuck_pods() {
    let asked = |status: Value| stuck_pod_uid(&of_claim(status, Vec::new()).1, at(0));
    assert!(asked(stuck(-30)).is_some());
    let mut sets_up = stuck(-1000);
    sets_up["conditions"][0]["status"] = json!("True");
    let mut unscheduled = stuck(-1000);
    unscheduled["conditions"][1]["status"] = json!("False");
    let mut pulls = stuck(-1000);
    pulls["initContainerStatuses"][0]["state"]["waiting"]["reason"] = json!("ImagePullBackOff");
    let mut fetches = stuck(-1000);
    fetches["initContainerStatuses"][0]["state"] = json!({"running": {}});
    for status in [
        stuck(-29),
        sets_up,
        unscheduled,
        pulls,
        fetches,
        serving(),
        json!({}),
    ] {
        assert_eq!(asked(status.clone()), None, "{status}");
    }
    let again = |second| {
        let (model_service, observed) = of_claim(stuck(second), Vec::new());
        let status = status_of(&model_service, &observed);
        requeue_at(&model_service, &observed, &status, at(0))
    };
    assert_eq!(again(-29), Some(at(1)));
    assert_eq!(again(-30), Some(at(60)));
    // Events of a pod that has made progress don't count.
    let told = vec![event("FailedMount", "MountVolume.SetUp failed", -1)];
    let (model_service, observed) = of_claim(serving(), told);
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "WorkloadAvailable"), no("Starting"));
}
