//! The status for an observed state.

mod autoscaling;
mod batching;
mod disruption;
mod events;
mod hostile;
mod memory;
mod metrics_healthy;
mod model_loaded;
mod models_differ;
mod pod_startup;
mod rollout_complete;
mod summary;
mod workload_available;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use serde_json::{Value, json};
use springtide_api::ModelServiceStatus;
use springtide_plan::{Child, Observed, ValidatedModelService, desired};

use crate::support::{applied, at, settings, status_of, with_engine, with_keda};

/// The observed state of a ModelService with `engine` whose Deployment has `deployment_status`.
fn deployed(engine: &str, deployment_status: Value) -> (ValidatedModelService, Observed) {
    let model_service = with_engine(engine);
    let mut observed = applied(&model_service, with_keda());
    let made_long_ago = Some(Time(at(-1000)));
    if let Some(hpa) = &mut observed.horizontal_pod_autoscaler {
        hpa.metadata.creation_timestamp.clone_from(&made_long_ago);
    }
    if let Some(scaled_object) = &mut observed.scaled_object {
        scaled_object.metadata.creation_timestamp = made_long_ago;
    }
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

/// Status of a Deployment without a ready pod.
fn unavailable() -> Value {
    json!({
        "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2,
        "conditions": [
            {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"},
            {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
        ],
    })
}

/// A planned pod of the ModelService, with a status.
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

/// A pod that has served for a long time.
fn serving() -> Value {
    json!({
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": at(-1000).to_string()},
        ],
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

/// A healthy ModelService with an HPA.
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

/// Status of a healthy ModelService whose Deployment has `wanted` replicas and `available` available ones. `others` are
/// statuses of further pods.
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
