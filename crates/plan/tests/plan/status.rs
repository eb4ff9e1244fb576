//! What a status says about what is observed.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use serde_json::{Value, json};
use springtide_api::ModelServiceStatus;
use springtide_plan::{
    Child, ChildKind, Event, Failure, Observed, Outcome, Severity, ValidatedModelService, desired,
    events, status,
};

use crate::support::{
    applied, at, condition, message, settings, status_of, validated, with_engine, with_keda,
};

/// What is observed of a ModelService with `engine` whose Deployment has `deployment_status`.
fn deployed(engine: &str, deployment_status: Value) -> (ValidatedModelService, Observed) {
    let model_service = with_engine(engine);
    let mut observed = applied(&model_service, with_keda());
    let deployment = observed.deployment.as_mut().unwrap();
    deployment.metadata.generation = Some(1);
    deployment.spec.as_mut().unwrap().replicas = Some(2);
    deployment.status = Some(serde_json::from_value(deployment_status).unwrap());
    (model_service, observed)
}

/// Status of a Deployment that has rolled out.
fn rolled_out() -> Value {
    json!({
        "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2,
        "availableReplicas": 2,
        "conditions": [
            {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        ],
    })
}

/// Status of a Deployment of which no pod is ready yet.
fn unavailable() -> Value {
    json!({
        "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2,
        "conditions": [
            {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"},
            {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
        ],
    })
}

/// A pod of the ModelService as it is planned, with a status.
fn pod(model_service: &ValidatedModelService, name: &str, status: Value) -> Pod {
    let desired = desired(model_service, &with_keda(), &settings());
    let template = desired
        .apply
        .into_iter()
        .find_map(|child| match child {
            Child::Deployment(deployment) => Some(deployment.spec.unwrap().template),
            _ => None,
        })
        .unwrap();
    let mut pod = Pod {
        metadata: template.metadata.unwrap(),
        spec: template.spec,
        status: Some(serde_json::from_value(status).unwrap()),
    };
    pod.metadata.name = Some(name.to_owned());
    pod
}

fn container(name: &str, ready: bool, state: Value, last_state: Value) -> Value {
    json!({
        "name": name, "ready": ready, "image": "springtide/server:test", "imageID": "",
        "restartCount": 0, "state": state, "lastState": last_state,
    })
}

fn serving() -> Value {
    json!({
        "initContainerStatuses": [
            container("fetch-model", true, json!({"terminated": {"exitCode": 0}}), json!({})),
        ],
        "containerStatuses": [container("server", true, json!({"running": {}}), json!({}))],
    })
}

fn fetch_failed(state: Value, last_state: Value) -> Value {
    json!({
        "initContainerStatuses": [container("fetch-model", false, state, last_state)],
        "containerStatuses": [
            container("server", false, json!({"waiting": {"reason": "PodInitializing"}}), json!({})),
        ],
    })
}

fn checksum_mismatch() -> Value {
    json!({"terminated": {
        "exitCode": 1,
        "message": r#"{"reason":"ChecksumMismatch","message":"expected aa, got bb"}"#,
    }})
}

fn yes(reason: &str) -> (String, String) {
    ("True".to_owned(), reason.to_owned())
}

fn no(reason: &str) -> (String, String) {
    ("False".to_owned(), reason.to_owned())
}

fn unknown(reason: &str) -> (String, String) {
    ("Unknown".to_owned(), reason.to_owned())
}

/// A ModelService under an HPA of which everything is as it should be.
fn healthy() -> (ValidatedModelService, Observed) {
    let (model_service, mut observed) = deployed("HPA", rolled_out());
    observed.pods = vec![
        pod(&model_service, "a", serving()),
        pod(&model_service, "b", serving()),
    ];
    observed.horizontal_pod_autoscaler.as_mut().unwrap().status = Some(
        serde_json::from_value(json!({
            "desiredReplicas": 3,
            "conditions": [
                {"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"},
                {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"},
            ],
        }))
        .unwrap(),
    );
    (model_service, observed)
}

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
        "Enough pods are ready to serve. Of the others: No node takes the pods: 1 Insufficient cpu"
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
fn a_model_that_cannot_be_fetched_is_reported_with_the_reason() {
    let (model_service, mut observed) = deployed("HPA", unavailable());
    for status in [
        fetch_failed(checksum_mismatch(), json!({})),
        fetch_failed(
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            checksum_mismatch(),
        ),
        // While it tries again, nothing is known that would be better.
        fetch_failed(json!({"running": {}}), checksum_mismatch()),
    ] {
        observed.pods = vec![pod(&model_service, "a", status)];
        let status = status_of(&model_service, &observed);
        assert_eq!(condition(&status, "ModelLoaded"), no("ChecksumMismatch"));
        assert_eq!(message(&status, "ModelLoaded"), "expected aa, got bb");
        assert_eq!(condition(&status, "Ready"), no("ChecksumMismatch"));
        assert_eq!(
            message(&status, "Ready"),
            "ModelLoaded: expected aa, got bb"
        );
    }
}

#[test]
fn a_model_that_the_server_cannot_load_is_reported_with_the_reason() {
    let (model_service, mut observed) = deployed("HPA", unavailable());
    let invalid = json!({"terminated": {
        "exitCode": 1, "message": r#"{"reason":"ModelInvalid","message":"no graph"}"#,
    }});
    let mut status = serving();
    status["containerStatuses"][0] = container(
        "server",
        false,
        json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        invalid,
    );
    observed.pods = vec![pod(&model_service, "a", status)];
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "ModelLoaded"), no("ModelInvalid"));
}

#[test]
fn a_failure_that_has_passed_is_forgotten() {
    let (model_service, mut observed) = healthy();
    let mut status = serving();
    status["initContainerStatuses"][0]["lastState"] = checksum_mismatch();
    status["containerStatuses"][0]["lastState"] = checksum_mismatch();
    observed.pods = vec![pod(&model_service, "a", status)];
    assert_eq!(
        condition(&status_of(&model_service, &observed), "ModelLoaded"),
        yes("Loaded")
    );
}

#[test]
fn a_bad_model_is_reported_while_the_former_one_goes_on_serving() {
    let (former, mut observed) = healthy();
    let model_service = validated(json!({"model": {"uri": "configMap://iris/bad.onnx"}}));
    observed.pods = vec![
        pod(&former, "a", serving()),
        pod(
            &model_service,
            "b",
            fetch_failed(checksum_mismatch(), json!({})),
        ),
    ];
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "ModelLoaded"), no("ChecksumMismatch"));
    assert_eq!(condition(&status, "WorkloadAvailable"), yes("Available"));
    assert_eq!(condition(&status, "Ready"), no("ChecksumMismatch"));
}

#[test]
fn one_pod_that_has_the_model_speaks_for_it_and_names_the_fault_of_another() {
    let (model_service, mut observed) = healthy();
    observed.pods.push(pod(
        &model_service,
        "0",
        fetch_failed(checksum_mismatch(), json!({})),
    ));
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "ModelLoaded"), yes("Loaded"));
    assert_eq!(
        message(&status, "ModelLoaded"),
        "The model is fetched and loaded. Another pod fails with ChecksumMismatch: expected aa, got bb"
    );
    assert_eq!(condition(&status, "Ready"), yes("Ready"));
}

#[test]
fn dead_and_leaving_pods_say_nothing() {
    let (model_service, mut observed) = deployed("HPA", unavailable());
    let oom = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let mut failed = fetch_failed(checksum_mismatch(), json!({}));
    failed["phase"] = json!("Failed");
    let mut evicted = fetch_failed(oom.clone(), json!({}));
    evicted["phase"] = json!("Failed");
    let mut leaving = pod(&model_service, "c", fetch_failed(oom, json!({})));
    leaving.metadata.deletion_timestamp = Some(Time(at(0)));
    observed.pods = vec![
        pod(&model_service, "a", failed),
        pod(&model_service, "b", evicted),
        leaving,
    ];
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "ModelLoaded"), unknown("Loading"));
    assert_eq!(condition(&status, "WorkloadAvailable"), no("Starting"));
}

#[test]
fn pods_of_the_former_model_say_nothing_about_the_present_one() {
    let (former, mut observed) = healthy();
    let failed = pod(&former, "a", fetch_failed(checksum_mismatch(), json!({})));
    observed.pods = vec![failed, pod(&former, "b", serving())];
    let model_service = validated(json!({"model": {"uri": "configMap://iris/new.onnx"}}));
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "ModelLoaded"), unknown("Loading"));
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
        "spec.containers[0].image: Required value"
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
        "spec.replicas is 0: nothing is served."
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

#[test]
fn what_could_not_be_applied_is_reported_where_it_matters() {
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
        let outcome = Outcome {
            failures: BTreeMap::from([(kind, failure)]),
        };
        let desired = desired(&model_service, &observed, &settings());
        let status = status(&model_service, &observed, &desired, &outcome, None, at(0));
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
            observed,
            &desired,
            &Outcome::default(),
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
    let outcome = Outcome {
        failures: BTreeMap::from([(ChildKind::Deployment, failure)]),
    };
    let desired = desired(&model_service, &observed, &settings());
    let status = status(&model_service, &observed, &desired, &outcome, None, at(0));
    let length = message(&status, "WorkloadAvailable").len();
    assert!((2000..=2048).contains(&length), "{length}");
}

#[test]
fn what_ends_by_itself_is_told_without_a_warning() {
    let (model_service, mut observed) = healthy();
    observed.deployment = observed.deployment.map(|mut deployment| {
        let status = deployment.status.get_or_insert_default();
        status.conditions = None;
        status.updated_replicas = Some(0);
        status.available_replicas = None;
        deployment
    });
    let starting = status_of(&model_service, &observed);
    let told = events(None, &starting);
    let severity = |reason| {
        told.iter()
            .find(|event| event.reason == reason)
            .map(|event| event.severity)
    };
    assert_eq!(severity("Starting"), Some(Severity::Normal), "{told:?}");
    assert_eq!(severity("RollingOut"), Some(Severity::Normal), "{told:?}");
}

#[test]
fn events_tell_what_is_new() {
    let (model_service, mut observed) = healthy();
    let good = status_of(&model_service, &observed);
    let told = events(None, &good);
    assert!(told.iter().all(|event| event.severity == Severity::Normal));
    assert!(told.iter().any(|event| event.condition == "Ready"));
    assert_eq!(events(Some(&good), &good), []);

    observed.pods = vec![pod(
        &model_service,
        "a",
        fetch_failed(checksum_mismatch(), json!({})),
    )];
    let bad = status_of(&model_service, &observed);
    let warning = Event {
        severity: Severity::Warning,
        condition: "ModelLoaded".to_owned(),
        reason: "ChecksumMismatch".to_owned(),
        message: "expected aa, got bb".to_owned(),
    };
    assert_eq!(events(Some(&good), &bad), [warning]);
    assert_eq!(events(Some(&bad), &bad), []);
    let recovered = events(Some(&bad), &good);
    let conditions = recovered.iter().map(|event| event.condition.as_str());
    assert_eq!(conditions.collect::<Vec<_>>(), ["Ready", "ModelLoaded"]);
}
