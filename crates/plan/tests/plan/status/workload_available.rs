//! `WorkloadAvailable`, and `RolloutComplete` where the number of pods decides it.

use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};
use springtide_api::ModelServiceStatus;
use springtide_plan::{Observed, ValidatedModelService, stuck_pod_uid};

use super::{
    container, deployed, fetch_failed, healthy, no, pod, rolled_out, serving, unavailable, yes,
};
use crate::support::{
    applied, at, condition, message, requeue_at, status_after, status_of, validated, with_keda,
};

/// Status of a healthy ModelService whose Deployment is to have `wanted` pods, of which `available`
/// are, and which has further pods.
fn with_pods(wanted: i32, available: i32, others: &[Value]) -> ModelServiceStatus {
    let (model_service, mut observed) = healthy();
    let deployment = observed.deployment.as_mut().unwrap();
    deployment.spec.as_mut().unwrap().replicas = Some(wanted);
    let status = deployment.status.as_mut().unwrap();
    status.replicas = Some(wanted);
    status.updated_replicas = Some(wanted);
    status.available_replicas = Some(available);
    if available < wanted {
        let conditions = status.conditions.as_mut().unwrap();
        conditions[0].status = "False".to_owned();
        conditions[0].reason = Some("MinimumReplicasUnavailable".to_owned());
    }
    for (index, status) in others.iter().enumerate() {
        let other = pod(&model_service, &format!("c{index}"), status.clone());
        observed.pods.push(other);
    }
    status_of(&model_service, &observed)
}

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
fn a_lost_pod_is_told_while_the_others_serve() {
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
fn a_first_start_is_ready_once_the_least_number_of_pods_is() {
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

/// What a Deployment says after its one pod by default has come up, before its first number of pods
/// has been applied.
#[test]
fn a_rollout_isnt_complete_below_the_least_number_of_pods() {
    for wanted in [0, 1] {
        let status = with_pods(wanted, wanted, &[]);
        assert_eq!(condition(&status, "RolloutComplete"), no("RollingOut"));
    }
}

#[test]
fn what_keeps_pods_from_serving_is_named() {
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
fn what_others_say_with_names_and_ids_in_it_is_left_out() {
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

/// `kubectl rollout pause`: the Deployment controller counts pods, and tells of no progress.
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
    // The controller hasn't seen the newest Deployment; and pods that have never been ready prove nothing.
    let unseen = paused(|_| (), 2, None);
    assert_eq!(condition(&unseen, "RolloutComplete"), no("Paused"));
    let unready = |status: &mut Value| status["availableReplicas"] = json!(1);
    let never_ready = paused(unready, 1, Some(&waits));
    assert_eq!(condition(&never_ready, "RolloutComplete"), no("Paused"));

    // The present spec is served: nothing is wrong yet.
    let done = paused(|_| (), 1, None);
    assert_eq!(condition(&done, "RolloutComplete"), yes("Complete"));
    assert_eq!(condition(&done, "Ready"), yes("Ready"));
    let said = message(&done, "RolloutComplete");
    assert!(said.contains("The Deployment is paused"), "{said}");
    // An autoscaler adds pods to it.
    let scaled = paused(unready, 1, Some(&done));
    assert_eq!(condition(&scaled, "RolloutComplete"), yes("Complete"));
}

/// A pod with a node since `second`, of which no container was started.
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

/// A ModelService with a model from a claim, whose one pod has this status and these events.
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
        // The newest, but for one that only says that it took long.
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
fn events_are_asked_for_only_where_a_pod_has_been_stuck_for_some_time() {
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
    // What was told of a pod that got further says nothing.
    let told = vec![event("FailedMount", "MountVolume.SetUp failed", -1)];
    let (model_service, observed) = of_claim(serving(), told);
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "WorkloadAvailable"), no("Starting"));
}

/// The default limit is more than some clusters allow.
#[test]
fn pods_that_are_refused_for_their_disk_are_told_which_field_sets_it() {
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

/// A pod that is gone, or going, for a reason that Kubernetes gives.
fn disrupted(reason: &str, message: &str, seconds_ago: i64) -> Value {
    json!({"phase": "Failed", "message": message, "conditions": [{
        "type": "DisruptionTarget", "status": "True", "reason": reason,
        "lastTransitionTime": at(-seconds_ago).to_string(),
    }]})
}

#[test]
fn pods_that_were_lost_lately_are_told() {
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
fn a_pod_that_was_killed_while_it_served_is_told_while_it_serves_again() {
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
