//! A ConfigMap, or a key of it, that is created after the ModelService that names it.
//!
//! The container that fetches the model fails, and the kubelet restarts it with a back-off of up to five minutes. A pod
//! that is created after the ConfigMap has it at once. So waiting pods are replaced as soon as the ConfigMap exists.
//! See `docs/adr/0030-pods-that-wait-for-a-config-map-are-made-anew.md`.

use k8s_openapi::{
    api::core::v1::{ContainerState, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::{SignedDuration, Timestamp},
};
use springtide_api::ModelUri;
use springtide_contract::termination::ModelFailure;

use crate::{
    observed::{Observed, pods},
    spec::ValidatedModelService,
};

/// Time between two reads of a ConfigMap that pods wait for.
const POLL_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Label of a Deployment's pods that is also the suffix of their ReplicaSet's name.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// A pod to delete, so that its ReplicaSet replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodToReplace {
    /// Its name.
    pub name: String,
    /// Its UID, as a precondition.
    pub uid: String,
}

/// The ConfigMap that pods wait for, for itself or for its key. Its metadata is to be read.
#[must_use]
pub fn pending_config_map<'a>(
    model_service: &'a ValidatedModelService,
    observed: &Observed,
) -> Option<&'a str> {
    let ModelUri::ConfigMap { name, .. } = model_service.model_uri() else {
        return None;
    };
    waiting_pods(model_service, observed)
        .next()
        .map(|_| &**name)
}

/// The waiting pods that were created before the ConfigMap with this metadata was created or last changed. What they
/// lack may exist now. Later pods have seen the ConfigMap in its current state and aren't deleted. So each change of
/// the ConfigMap replaces a pod at most once. Both times are the API server's.
#[must_use]
pub fn pods_to_replace(
    model_service: &ValidatedModelService,
    observed: &Observed,
    config_map: &ObjectMeta,
) -> Vec<PodToReplace> {
    let Some(changed) = last_changed_at(config_map) else {
        return Vec::new();
    };
    waiting_pods(model_service, observed)
        .filter(|pod| created_at(pod).is_some_and(|made| made <= changed))
        .filter_map(|pod| {
            Some(PodToReplace {
                name: pod.metadata.name.clone()?,
                uid: pod.metadata.uid.clone()?,
            })
        })
        .collect()
}

/// When to read the ConfigMap again, while pods wait for it.
pub(crate) fn requeue_at(
    model_service: &ValidatedModelService,
    observed: &Observed,
    now: Timestamp,
) -> Option<Timestamp> {
    pending_config_map(model_service, observed)?;
    now.checked_add(POLL_INTERVAL).ok()
}

/// The pods of the ModelService's Deployment that have never had their model, because its file doesn't exist, and whose
/// container waits for its restart.
fn waiting_pods<'a>(
    model_service: &'a ValidatedModelService,
    observed: &'a Observed,
) -> impl Iterator<Item = &'a Pod> {
    let pods = pods::of_this_model(observed, model_service).into_iter();
    pods.filter(|pod| is_of_replica_set(pod, model_service.name()) && lacks_model(pod))
}

fn lacks_model(pod: &Pod) -> bool {
    let runs = |state: &ContainerState| state.running.is_some();
    let state = pods::fetch_status(pod).and_then(|status| status.state.as_ref());
    !state.is_some_and(runs)
        && pods::fetch_failure(pod).is_some_and(|it| it.reason == ModelFailure::ModelNotFound)
}

/// Whether the Deployment of this name replaces the pod when it is deleted.
fn is_of_replica_set(pod: &Pod, deployment: &str) -> bool {
    let labels = pod.metadata.labels.as_ref();
    let hash = labels.and_then(|labels| labels.get(POD_TEMPLATE_HASH));
    let mut owners = pod.metadata.owner_references.iter().flatten();
    hash.is_some_and(|hash| {
        owners.any(|owner| {
            owner.kind == "ReplicaSet"
                && owner.controller == Some(true)
                && owner.name == format!("{deployment}-{hash}")
        })
    })
}

fn created_at(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|made| made.0)
}

/// When an object was created or last changed, as far as its field managers tell.
fn last_changed_at(metadata: &ObjectMeta) -> Option<Timestamp> {
    let made = metadata.creation_timestamp.iter();
    let managers = metadata.managed_fields.iter().flatten();
    let changes = managers.filter_map(|manager| manager.time.as_ref());
    made.chain(changes).map(|time| time.0).max()
}
