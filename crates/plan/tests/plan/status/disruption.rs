//! `WorkloadAvailable` for lost and killed pods.

use serde_json::{Value, json};
use springtide_plan::Observed;

use super::{container, healthy, no, pod, serving, with_pods, yes};
use crate::support::{at, condition, message, requeue_at, status_of};

/// A pod that was or is being deleted, with a reason of Kubernetes.
fn disrupted(reason: &str, message: &str, seconds_ago: i64) -> Value {
    json!({"phase": "Failed", "message": message, "conditions": [{
        "type": "DisruptionTarget", "status": "True", "reason": reason,
        "lastTransitionTime": at(-seconds_ago).to_string(),
    }]})
}

#[test]
fn recently_lost_pods_are_reported() {
    let storage = "Container server exceeded its local ephemeral storage limit \"100Mi\". ";
    let memory =
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 5212Ki. ";
    for (reason, message, expected, says) in [
        (
            "TerminationByKubelet",
            storage,
            "PodsEvicted",
            "spec.model.maxSizeMebibytes",
        ),
        (
            "TerminationByKubelet",
            memory,
            "PodsEvicted",
            "low on resource: memory. Set",
        ),
        (
            "TerminationByKubelet",
            "The node had condition: [DiskPressure]. ",
            "PodsEvicted",
            "[DiskPressure]. See `kubectl",
        ),
        (
            "PreemptionByScheduler",
            "",
            "PodsPreempted",
            "higher priority",
        ),
        ("EvictionByEvictionAPI", "", "PodsEvicted", "drain"),
        ("DeletionByTaintManager", "", "NodeLost", "taint"),
        ("DeletionByPodGC", "", "NodeLost", "node"),
    ] {
        let none_left = with_pods(2, 0, &[disrupted(reason, message, 60)]);
        assert_eq!(condition(&none_left, "WorkloadAvailable"), no(expected));
        let told = crate::support::message(&none_left, "WorkloadAvailable");
        assert!(told.contains(says), "{told}");
        assert!(!told.contains("5212Ki"), "{told}");
        let served = with_pods(2, 2, &[disrupted(reason, message, 60)]);
        assert_eq!(condition(&served, "WorkloadAvailable"), yes("Available"));
        let told = crate::support::message(&served, "WorkloadAvailable");
        assert!(told.contains(says), "{told}");
        let long_ago = with_pods(2, 0, &[disrupted(reason, message, 600)]);
        assert_eq!(condition(&long_ago, "WorkloadAvailable"), no("Starting"));
    }
    let ends = |observed: &Observed| {
        let model_service = healthy().0;
        let status = status_of(&model_service, observed);
        requeue_at(&model_service, observed, &status, at(0))
    };
    let (model_service, mut observed) = healthy();
    let before = ends(&observed);
    let lost = disrupted("DeletionByPodGC", "", 590);
    observed.pods.push(pod(&model_service, "lost", lost));
    assert_eq!(ends(&observed), Some(at(10)));
    observed.pods.pop();
    observed.pods.push(pod(
        &model_service,
        "lost",
        disrupted("DeletionByPodGC", "", 600),
    ));
    assert_eq!(ends(&observed), before);
}

#[test]
fn a_killed_pod_is_reported_while_it_serves_again() {
    let restarted = |reason: &str, seconds_ago: i64| {
        let mut status = serving();
        let finished = at(-seconds_ago).to_string();
        status["containerStatuses"] = json!([container(
            "server",
            true,
            json!({"running": {}}),
            json!({"terminated": {"exitCode": 137, "reason": reason, "finishedAt": finished}}),
        )]);
        let status = with_pods(2, 2, &[status]);
        message(&status, "WorkloadAvailable").clone()
    };
    assert!(restarted("OOMKilled", 60).contains("limits.memory"));
    assert!(!restarted("OOMKilled", 601).contains("limits.memory"));
    assert!(!restarted("Error", 60).contains("limits.memory"));
}
