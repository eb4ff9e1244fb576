//! `WorkloadAvailable`.

use serde_json::{Value, json};

use super::{deployed, fetch_failed, healthy, no, pod, serving, unavailable, with_pods, yes};
use crate::support::{applied, condition, message, status_of, validated, with_keda};

fn unschedulable() -> Value {
    json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "message": "1 Insufficient cpu",
    }]})
}

#[test]
fn a_scale_up_takes_nothing_away() {
    let before = with_pods(2, 2, &[]);
    for available in 2..=8 {
        let status = with_pods(8, available, &[json!({"phase": "Pending"})]);
        assert_eq!(status.conditions, before.conditions, "{available}");
    }
    let stuck = with_pods(8, 2, &[unschedulable(), unschedulable()]);
    assert_eq!(condition(&stuck, "WorkloadAvailable"), yes("Available"));
    assert_eq!(
        message(&stuck, "WorkloadAvailable"),
        "The minimum number of pods is ready. Other pods: No node can run the pods: 1 Insufficient cpu"
    );
    assert_eq!(condition(&stuck, "Ready"), yes("Ready"));
}

#[test]
fn a_lost_pod_is_reported_while_others_serve() {
    let lost = with_pods(2, 1, &[unschedulable()]);
    assert_eq!(
        condition(&lost, "WorkloadAvailable"),
        yes("PartlyAvailable")
    );
    let message = message(&lost, "WorkloadAvailable");
    assert!(message.contains("1 Insufficient cpu"), "{message}");
    assert_eq!(condition(&lost, "Ready"), yes("Ready"));
    assert_eq!(
        condition(&with_pods(2, 0, &[]), "WorkloadAvailable"),
        no("Starting")
    );
}

#[test]
fn a_new_model_service_is_ready_at_the_minimum_replicas() {
    let (model_service, mut observed) = deployed("HPA", unavailable());
    observed.pods = vec![pod(&model_service, "a", serving())];
    let status = observed.deployment.as_mut().unwrap().status.as_mut();
    status.unwrap().available_replicas = Some(1);
    let status = status_of(&model_service, &observed);
    assert_eq!(
        condition(&status, "WorkloadAvailable"),
        yes("PartlyAvailable")
    );
    assert_eq!(condition(&status, "RolloutComplete"), no("RollingOut"));
    assert_eq!(condition(&status, "Ready"), no("RollingOut"));
}

#[test]
fn the_cause_of_unready_pods_is_named() {
    let waiting = |reason: &str| json!({"waiting": {"reason": reason, "message": "why"}});
    let oom = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let crashed = json!({"terminated": {"exitCode": 101, "message": "panicked"}});
    let fetching = |state, last_state| fetch_failed(state, last_state);
    for (reason, pod_status) in [
        (
            "ImagePullFailed",
            fetching(waiting("ImagePullBackOff"), json!({})),
        ),
        (
            "ImagePullFailed",
            fetching(waiting("ErrImageNeverPull"), json!({})),
        ),
        (
            "ContainerNotStarted",
            fetching(waiting("CreateContainerConfigError"), json!({})),
        ),
        ("OutOfMemory", fetching(waiting("CrashLoopBackOff"), oom)),
        (
            "ContainerCrashing",
            fetching(waiting("CrashLoopBackOff"), crashed),
        ),
        (
            "Unschedulable",
            json!({"conditions": [{
                "type": "PodScheduled", "status": "False", "message": "1 Insufficient cpu",
            }]}),
        ),
        ("Starting", json!({})),
    ] {
        let (model_service, mut observed) = deployed("HPA", unavailable());
        observed.pods = vec![pod(&model_service, "a", pod_status)];
        let status = status_of(&model_service, &observed);
        assert_eq!(condition(&status, "WorkloadAvailable"), no(reason));
    }
}

#[test]
fn messages_with_names_and_ids_are_omitted() {
    let with_id = |id: &str| {
        let (model_service, mut observed) = healthy();
        observed.deployment.as_mut().unwrap().status = None;
        let waiting = json!({"waiting": {
            "reason": "RunContainerError", "message": format!("container {id} failed"),
        }});
        observed.pods = vec![pod(&model_service, "a", fetch_failed(waiting, json!({})))];
        let hpa = observed.horizontal_pod_autoscaler.as_mut().unwrap();
        for condition in hpa.status.as_mut().unwrap().conditions.as_mut().unwrap() {
            condition.status = "False".to_owned();
            condition.message = Some(format!("missing request for cpu in Pod iris-{id}"));
        }
        status_of(&model_service, &observed)
    };
    assert_eq!(
        condition(&with_id("4f2a"), "WorkloadAvailable"),
        no("ContainerNotStarted")
    );
    assert_eq!(with_id("4f2a"), with_id("77c1"));
}

#[test]
fn pods_that_are_refused_are_reported_without_their_changing_names() {
    let refused = |name: &str| {
        json!({"conditions": [{
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
            "message": format!("pods \"{name}\" is forbidden: exceeded quota: cpu"),
        }]})
    };
    let of = |name| {
        let (model_service, observed) = deployed("HPA", refused(name));
        status_of(&model_service, &observed)
    };
    assert_eq!(
        condition(&of("iris-1"), "WorkloadAvailable"),
        no("PodsRefused")
    );
    assert_eq!(
        message(&of("iris-1"), "WorkloadAvailable"),
        "exceeded quota: cpu"
    );
    assert_eq!(of("iris-1"), of("iris-2"));
}

#[test]
fn pods_that_are_invalid_are_reported_without_their_changing_names() {
    let (model_service, observed) = deployed(
        "HPA",
        json!({"conditions": [{
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
            "message": "Pod \"iris-x7\" is invalid: spec.containers[0].image: Required value",
        }]}),
    );
    assert_eq!(
        message(&status_of(&model_service, &observed), "WorkloadAvailable"),
        "spec.containers[0].image: Required value. Check spec.server.image of the ModelService."
    );
}

#[test]
fn no_replicas_serve_nothing() {
    let model_service = validated(json!({"replicas": 0, "autoscaling": {"engine": "None"}}));
    let mut observed = applied(&model_service, with_keda());
    observed
        .deployment
        .as_mut()
        .unwrap()
        .spec
        .as_mut()
        .unwrap()
        .replicas = Some(0);
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "WorkloadAvailable"), no("NoReplicas"));
    assert_eq!(
        message(&status, "WorkloadAvailable"),
        "spec.replicas is 0: no pod serves the model."
    );
    assert_eq!(condition(&status, "AutoscalingReady"), yes("FixedReplicas"));
    assert_eq!(status.desired_replicas, Some(0));

    let emptied = with_pods(0, 0, &[]);
    assert_eq!(condition(&emptied, "WorkloadAvailable"), no("NoReplicas"));
    let message = message(&emptied, "WorkloadAvailable");
    assert!(
        message.starts_with("The Deployment is scaled to 0"),
        "{message}"
    );
}

/// The default limit exceeds the bound of some clusters.
#[test]
fn a_rejection_for_ephemeral_storage_names_the_field() {
    let refused = |cause: &str| {
        let mut status = unavailable();
        let failure = json!({
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
            "message": format!("pods \"iris-0\" is forbidden: {cause}"),
        });
        status["conditions"].as_array_mut().unwrap().push(failure);
        let (model_service, observed) = deployed("HPA", status);
        let status = status_of(&model_service, &observed);
        assert_eq!(condition(&status, "WorkloadAvailable"), no("PodsRefused"));
        message(&status, "WorkloadAvailable")
    };
    let range = "maximum ephemeral-storage usage per Container is 10Gi, but limit is 17Gi";
    let quota = "exceeded quota: disk, requested: limits.ephemeral-storage=17Gi, limited: limits.ephemeral-storage=10Gi";
    for cause in [range, quota] {
        let said = refused(cause);
        assert!(said.starts_with(cause), "{said}");
        assert!(said.contains("spec.model.maxSizeMebibytes"), "{said}");
    }
    assert_eq!(refused("exceeded quota: cpu"), "exceeded quota: cpu");
}
