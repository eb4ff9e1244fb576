//! `RolloutComplete` by the replicas of the Deployment, and while it is paused.

use serde_json::{Value, json};
use springtide_api::ModelServiceStatus;

use super::{deployed, healthy, no, rolled_out, with_pods, yes};
use crate::support::{condition, message, status_after, status_of};

/// The state after the default replica is available, before the initial replicas are applied.
#[test]
fn a_rollout_is_incomplete_below_the_minimum_replicas() {
    for wanted in [0, 1] {
        let status = with_pods(wanted, wanted, &[]);
        assert_eq!(condition(&status, "RolloutComplete"), no("RollingOut"));
    }
}

#[test]
fn a_rollout_is_complete_when_only_new_pods_are_left() {
    let rollout = |change: fn(&mut Value), generation| {
        let mut deployment_status = rolled_out();
        change(&mut deployment_status);
        let (model_service, mut observed) = deployed("HPA", deployment_status);
        observed.deployment.as_mut().unwrap().metadata.generation = Some(generation);
        condition(&status_of(&model_service, &observed), "RolloutComplete")
    };
    assert_eq!(rollout(|_| (), 1), yes("Complete"));
    assert_eq!(rollout(|_| (), 2), no("RollingOut"));
    assert_eq!(
        rollout(|status| status["updatedReplicas"] = json!(1), 1),
        no("RollingOut")
    );
    assert_eq!(
        rollout(
            |status| status["conditions"][1]["reason"] = json!("ReplicaSetUpdated"),
            1
        ),
        no("RollingOut")
    );
    assert_eq!(
        rollout(
            |status| status["conditions"][1]["reason"] = json!("ProgressDeadlineExceeded"),
            1
        ),
        no("ProgressDeadlineExceeded")
    );
    // A scale-up isn't a rollout.
    assert_eq!(
        rollout(
            |status| {
                status["replicas"] = json!(8);
                status["updatedReplicas"] = json!(8);
            },
            1
        ),
        yes("Complete")
    );
}

/// `kubectl rollout pause`: the Deployment controller counts pods, and reports no progress.
#[test]
fn a_paused_deployment_is_named_with_the_command_that_resumes_it() {
    let paused = |change: fn(&mut Value), generation, previous: Option<&ModelServiceStatus>| {
        let mut deployment_status = rolled_out();
        deployment_status["conditions"][1] =
            json!({"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused"});
        change(&mut deployment_status);
        let (model_service, mut observed) = healthy();
        let deployment = observed.deployment.as_mut().unwrap();
        deployment.metadata.generation = Some(generation);
        deployment.spec.as_mut().unwrap().paused = Some(true);
        deployment.status = Some(serde_json::from_value(deployment_status).unwrap());
        status_after(&model_service, &observed, previous)
    };
    let waits = paused(|status| status["updatedReplicas"] = json!(0), 1, None);
    assert_eq!(condition(&waits, "RolloutComplete"), no("Paused"));
    assert_eq!(condition(&waits, "Ready"), no("Paused"));
    assert_eq!(condition(&waits, "WorkloadAvailable"), yes("Available"));
    let said = message(&waits, "RolloutComplete");
    assert!(
        said.ends_with("To resume it, run `kubectl rollout resume deployment iris`."),
        "{said}"
    );
    // The controller hasn't observed the latest generation. And pods that have never been ready prove nothing.
    let unseen = paused(|_| (), 2, None);
    assert_eq!(condition(&unseen, "RolloutComplete"), no("Paused"));
    let unready = |status: &mut Value| status["availableReplicas"] = json!(1);
    let never_ready = paused(unready, 1, Some(&waits));
    assert_eq!(condition(&never_ready, "RolloutComplete"), no("Paused"));

    // The current spec is served, so nothing is wrong yet.
    let done = paused(|_| (), 1, None);
    assert_eq!(condition(&done, "RolloutComplete"), yes("Complete"));
    assert_eq!(condition(&done, "Ready"), yes("Ready"));
    let said = message(&done, "RolloutComplete");
    assert!(said.contains("The Deployment is paused"), "{said}");
    // An autoscaler adds pods to it.
    let scaled = paused(unready, 1, Some(&done));
    assert_eq!(condition(&scaled, "RolloutComplete"), yes("Complete"));
}
