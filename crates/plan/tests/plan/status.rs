//! What a status says about what is observed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
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
    assert_eq!(condition(&status, "AutoscalingReady"), yes("FixedReplicas"));
    assert_eq!(status.desired_replicas, Some(0));
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
    let mut with = |conditions: Value| {
        observed.scaled_object.as_mut().unwrap().status =
            Some(serde_json::from_value(json!({"conditions": conditions})).unwrap());
        let status = status_of(&model_service, &observed);
        (
            condition(&status, "AutoscalingReady"),
            condition(&status, "MetricsHealthy"),
        )
    };
    assert_eq!(
        with(json!([{"type": "Ready", "status": "True"}])),
        (yes("Scaling"), unknown("Starting"))
    );
    assert_eq!(
        with(json!([
            {"type": "Ready", "status": "False", "reason": "ScaledObjectCheckFailed"},
        ])),
        (no("ScaledObjectCheckFailed"), unknown("Starting"))
    );
    assert_eq!(
        with(json!([
            {"type": "Ready", "status": "True"}, {"type": "Fallback", "status": "True"},
        ])),
        (yes("Scaling"), no("FallbackActive"))
    );
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
