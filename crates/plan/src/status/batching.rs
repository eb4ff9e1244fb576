//! Whether the requests of a model share batches: whom to ask, and what the answers say together.
//!
//! A pod that starts anew has forgotten what its sentinel found, so that the mismatch is kept in the status
//! until the spec names another model, and the pods are told not to batch until then. See
//! `docs/adr/0023-what-a-sentinel-found-stays-until-the-model-changes.md`.

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

/// Maximum number of pods that are asked in a pass, half of them the oldest and half the newest: each finds by itself
/// what its batches do, and keeps to it, and a model that was replaced in place is another in the newest pod than in
/// the oldest. These are enough to know of it.
const MAX_QUERIED_PODS: usize = 16;

/// Most bytes of a message, as the status' definition says.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Time between two looks at pods that batch. A mismatch is to be seen within a minute.
const QUERY_INTERVAL: SignedDuration = SignedDuration::from_secs(45);

/// Time until the pods are told of a new mismatch.
const REQUEUE_DELAY: SignedDuration = SignedDuration::from_secs(1);

/// Where to ask pods what they say of their models: those that serve the model that the spec names.
#[must_use]
pub fn pods_to_query(
    model_service: &ValidatedModelService,
    observed: &Observed,
) -> Vec<SocketAddr> {
    let mut pods = pods::of_this_model(observed, model_service);
    // The order by name stays among those of the same second.
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

/// What the status says of the model.
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
    // Pods that were told not to batch don't know why.
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

/// When to ask the pods again although nothing has changed, if ever: while a pod batches, its sentinel may
/// find something. `status` is what [`model_status`] made of the same observation.
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
    // Also where the pods that batch are too busy to say so just now.
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

/// What all pods say of the batches of the ModelService's model.
fn batching_statuses<'a>(
    model_service: &'a ValidatedModelService,
    replies: &'a [StatusReply],
) -> impl Iterator<Item = &'a batching::BatchingStatus> {
    model_statuses(model_service, replies).map(|model| &model.batching)
}

/// What all pods say of the ModelService's model.
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

/// What a sentinel has found, by the pods' answers. It is the same for the same answers in any order.
fn reported_mismatch(
    model_service: &ValidatedModelService,
    replies: &[StatusReply],
) -> Option<String> {
    batching_statuses(model_service, replies)
        .filter(|batching| batching.reason == BatchingReason::SentinelMismatch)
        .map(|batching| plain(&batching.message, MAX_MESSAGE_BYTES).into_owned())
        .min()
}

/// What the pods say together: requests share batches where they do in every pod. The reason is that of a
/// pod whose sentinel has found something, or else of one that doesn't batch, or else of any.
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

/// The least of all speaks for them.
fn precedence(batching: &batching::BatchingStatus) -> (bool, bool, &str, &str) {
    let has_found = batching.reason == BatchingReason::SentinelMismatch;
    (
        !has_found,
        batching.enabled,
        batching.reason.name(),
        &batching.message,
    )
}

/// What was known of the same spec, where a pod that would say so can't be asked just now.
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
