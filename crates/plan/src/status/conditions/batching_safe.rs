//! `BatchingSafe`: no batch mixes rows whose outputs are known to depend on each other.
//!
//! It isn't part of `Ready`: a pod with a mismatch runs each request alone, and its responses are correct.

use springtide_contract::{
    batching::{BatchingMode, BatchingReason},
    defaults,
};

use super::{ConditionResult, Reason, StatusContext};
use crate::observed::StatusReply;

pub(super) fn evaluate(context: &StatusContext<'_>) -> ConditionResult {
    let model = context.model;
    if let Some(mismatch) = &model.sentinel_mismatch {
        let mode = context.model_service.server().batching.mode;
        return ConditionResult::no(
            BatchingReason::SentinelMismatch.name(),
            format!("{mismatch} {}", consequence(mode)),
        );
    }
    let Some(batching) = &model.batching else {
        return ConditionResult::unknown(Reason::NotReported, unknown_cause(context));
    };
    let how = if batching.enabled {
        "Requests share batches"
    } else {
        "Each request runs alone"
    };
    ConditionResult::yes(
        batching.reason.clone(),
        format!("{how}: {}", batching.message),
    )
}

const fn consequence(mode: BatchingMode) -> &'static str {
    match mode {
        BatchingMode::Auto => {
            "Each request runs alone until spec.model names another file. Export the model so that the outputs of a row don't depend on other rows. If the difference is harmless, set spec.server.batching.mode to Always to share batches again."
        }
        BatchingMode::Always => {
            "Requests still share batches, because spec.server.batching.mode is Always. Set it to Auto or Never, unless the difference is harmless."
        }
        BatchingMode::Never => {
            "Each request runs alone, because spec.server.batching.mode is Never. Don't change the mode until spec.model names another file."
        }
    }
}

fn unknown_cause(context: &StatusContext<'_>) -> String {
    let replies = context.applied.replies();
    if replies.contains(&StatusReply::Unreachable) {
        format!(
            "The pods don't respond to the operator. If a NetworkPolicy blocks their port {}, allow it. Nothing else depends on that.",
            defaults::PORT
        )
    } else if replies.is_empty() {
        "No pod with the model is ready.".to_owned()
    } else {
        "The pods' server doesn't report whether requests share batches: its version differs from the operator's. Remove spec.server.image, or update it."
            .to_owned()
    }
}
