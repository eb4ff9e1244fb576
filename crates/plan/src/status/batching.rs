//! Whether requests of a model share batches: the pods to query, and the summary of their replies.
//!
//! A restarted pod doesn't know what its sentinel found. So a mismatch is kept in the status, and pods don't batch,
//! until the spec names another model. See `docs/adr/0023-what-a-sentinel-found-stays-until-the-model-changes.md`.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use springtide_api::{
    ModelServiceStatus, Sha256,
    status::{BatchingStatus, ModelStatus},
};
use springtide_contract::{
    batching::{self, BatchingMode, BatchingReason},
    defaults,
    text::plain,
};

use crate::{
    observed::{Observed, StatusReply, pods},
    spec::ValidatedModelService,
};

/// Maximum number of pods that are queried in a reconcile: the oldest and the newest half. Each pod decides about
/// batching on its own. If a model was replaced in place, the newest pod serves another model than the oldest.
const MAX_QUERIED_PODS: usize = 16;

/// Maximum bytes of a message, as in the CRD.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Time between two queries of pods that batch. A mismatch is to be detected within a minute.
const QUERY_INTERVAL: SignedDuration = SignedDuration::from_secs(45);

/// Time until pods are reconfigured for a new mismatch.
const REQUEUE_DELAY: SignedDuration = SignedDuration::from_secs(1);

/// Addresses of the pods to query: those that serve the model of the spec.
#[must_use]
pub fn pods_to_query(
    model_service: &ValidatedModelService,
    observed: &Observed,
) -> Vec<SocketAddr> {
    let mut pods = pods::of_this_model(observed, model_service);
    // The sort is stable: pods of the same second stay sorted by name.
    pods.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let addresses = pods
        .into_iter()
        .filter(|pod| pods::is_serving(pod))
        .filter_map(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, defaults::PORT))
        .collect::<Vec<_>>();
    let (half, count) = (MAX_QUERIED_PODS / 2, addresses.len());
    let is_at_an_end = |place: usize| place < half || place + half >= count;
    let addresses = addresses.into_iter().enumerate();
    addresses
        .filter(|(place, _)| is_at_an_end(*place))
        .map(|(_, address)| address)
        .collect()
}

/// The model's part of the status.
pub(crate) fn model_status(
    model_service: &ValidatedModelService,
    replies: &[StatusReply],
    previous: Option<&ModelServiceStatus>,
) -> ModelStatus {
    let sentinel_mismatch = model_service
        .sentinel_mismatch()
        .map(ToOwned::to_owned)
        .or_else(|| reported_mismatch(model_service, replies));
    let mut batching = merged_batching(model_service, replies)
        .or_else(|| previous_batching(model_service, replies, previous));
    // Pods that were configured not to batch don't know the reason.
    let mode = model_service.server().batching.mode;
    if let (Some(batching), BatchingMode::Auto, Some(mismatch)) =
        (&mut batching, mode, &sentinel_mismatch)
    {
        BatchingReason::SentinelMismatch
            .name()
            .clone_into(&mut batching.reason);
        batching.message.clone_from(mismatch);
    }
    ModelStatus {
        uri: model_service.model_uri().to_string(),
        sha256: model_service
            .model_sha256()
            .map(|sha256| Sha256::as_str(sha256).to_owned()),
        batching,
        sentinel_mismatch,
        replacement_sha256: model_service
            .replacement()
            .map(|sha256| sha256.as_str().to_owned()),
        memory_at_rest_mebibytes: model_service.memory_at_rest_mebibytes(),
    }
}

/// When to query the pods again although nothing has changed. While a pod batches, its sentinel may find a mismatch.
/// `status` is computed from the same observed state by [`model_status`].
pub(crate) fn requeue_at(
    model_service: &ValidatedModelService,
    replies: &[StatusReply],
    status: &ModelServiceStatus,
    now: Timestamp,
) -> Option<Timestamp> {
    let model = status.model.as_ref()?;
    let replacement = model_service.replacement().map(Sha256::as_str);
    let is_new = model.replacement_sha256.as_deref() != replacement
        || (model_service.sentinel_mismatch().is_none() && model.sentinel_mismatch.is_some());
    // The pods that batch may be too busy to reply.
    let batches = || {
        let known = model.batching.iter().map(|batching| batching.enabled);
        batching_statuses(model_service, replies)
            .map(|batching| batching.enabled)
            .chain(known)
            .any(|enabled| enabled)
    };
    let after = if is_new {
        REQUEUE_DELAY
    } else if batches() {
        QUERY_INTERVAL
    } else {
        return None;
    };
    now.checked_add(after).ok()
}

/// The batching status of the ModelService's model in all pods.
fn batching_statuses<'a>(
    model_service: &'a ValidatedModelService,
    replies: &'a [StatusReply],
) -> impl Iterator<Item = &'a batching::BatchingStatus> {
    model_statuses(model_service, replies).map(|model| &model.batching)
}

/// The status of the ModelService's model in all pods.
pub(crate) fn model_statuses<'a>(
    model_service: &'a ValidatedModelService,
    replies: &'a [StatusReply],
) -> impl Iterator<Item = &'a batching::ModelStatus> {
    replies
        .iter()
        .filter_map(|reply| match reply {
            StatusReply::Status(server) => Some(server),
            StatusReply::Unreadable | StatusReply::Unreachable => None,
        })
        .flat_map(|server| &server.models)
        .filter(|model| model.name == model_service.model_name())
}

/// The mismatch that a sentinel has reported. It doesn't depend on the order of the replies.
fn reported_mismatch(
    model_service: &ValidatedModelService,
    replies: &[StatusReply],
) -> Option<String> {
    batching_statuses(model_service, replies)
        .filter(|batching| batching.reason == BatchingReason::SentinelMismatch)
        .map(|batching| plain(&batching.message, MAX_MESSAGE_BYTES).into_owned())
        .min()
}

/// The summary of all pods. Requests share batches if they do in every pod. The reason is that of a pod with a
/// mismatch, else of one that doesn't batch, else of any.
fn merged_batching(
    model_service: &ValidatedModelService,
    replies: &[StatusReply],
) -> Option<BatchingStatus> {
    let speaker = batching_statuses(model_service, replies)
        .min_by(|one, other| precedence(one).cmp(&precedence(other)))?;
    Some(BatchingStatus {
        enabled: batching_statuses(model_service, replies).all(|batching| batching.enabled),
        reason: speaker.reason.name().to_owned(),
        message: plain(&speaker.message, MAX_MESSAGE_BYTES).into_owned(),
    })
}

/// The pod with the smallest key gives the reason.
fn precedence(batching: &batching::BatchingStatus) -> (bool, bool, &str, &str) {
    let has_found = batching.reason == BatchingReason::SentinelMismatch;
    (
        !has_found,
        batching.enabled,
        batching.reason.name(),
        &batching.message,
    )
}

/// The previous batching status of the same spec, if a pod couldn't be queried.
fn previous_batching(
    model_service: &ValidatedModelService,
    replies: &[StatusReply],
    previous: Option<&ModelServiceStatus>,
) -> Option<BatchingStatus> {
    if !replies.contains(&StatusReply::Unreachable) {
        return None;
    }
    let previous = previous
        .filter(|previous| previous.observed_generation == Some(model_service.generation()))?;
    let model = previous.model.as_ref()?;
    model.batching.clone()
}
