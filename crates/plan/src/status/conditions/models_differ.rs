//! `RolloutComplete` if pods of the same spec serve different models: the content that the spec names was replaced
//! while they ran.

use std::collections::BTreeSet;

use springtide_api::{Sha256, status::condition};

use super::{ConditionResult, ConditionStatus, Reason, StatusContext};
use crate::{
    observed::{StatusReply, foreign_status::status_condition},
    resources::ModelSource,
    spec::ValidatedModelService,
    status::batching::model_statuses,
};

/// Length of an abbreviated SHA-256.
const DIGITS: usize = 12;

/// Maximum number of SHA-256 in a message.
const MAX_NAMED: usize = 4;

/// The `result` of the rollout, or a false condition if it is complete and pods serve different models.
pub(super) fn evaluate(context: &StatusContext<'_>, result: ConditionResult) -> ConditionResult {
    if result.status != ConditionStatus::True {
        return result;
    }
    differing_models(context)
        .or_else(|| previous_result(context))
        .unwrap_or(result)
}

fn differing_models(context: &StatusContext<'_>) -> Option<ConditionResult> {
    let model_service = context.model_service;
    let served_files = served_files(model_service, context.applied.replies())
        .map(|sha256| sha256.as_str().chars().take(DIGITS).collect())
        .collect::<BTreeSet<String>>();
    if served_files.len() < 2 {
        return None;
    }
    let uri = model_service.model_uri();
    let named = served_files.into_iter().take(MAX_NAMED).collect::<Vec<_>>();
    let remedy = if is_replaced_automatically(model_service) {
        "All pods are replaced, so that they serve the present file.".to_owned()
    } else {
        let name = model_service.name();
        format!(
            "To have all pods serve the present file, run `kubectl rollout restart deployment {name}`."
        )
    };
    Some(ConditionResult::no(
        Reason::ModelsDiffer,
        format!(
            "Pods serve different models, because {uri} was replaced in place (sha256 {}). {remedy} To prevent this, set spec.model.sha256, or give each model its own name.",
            named.join(", ")
        ),
    ))
}

/// SHA-256 of the files that pods serve, in the order of the queries: the newest pod is the last.
fn served_files<'a>(
    model_service: &'a ValidatedModelService,
    replies: &'a [StatusReply],
) -> impl Iterator<Item = Sha256> {
    model_statuses(model_service, replies).filter_map(|model| model.sha256.as_deref()?.parse().ok())
}

/// Whether all pods are replaced if they differ. All pods that are created after a change of a ConfigMap have the same
/// content, so the replacement ends. The content of a claim may differ between nodes.
fn is_replaced_automatically(model_service: &ValidatedModelService) -> bool {
    ModelSource::of(model_service.model_uri()).is_consistent
}

/// The file for which all pods are to be replaced, if `rollout_complete` says that they serve different ones.
pub(crate) fn replacement(
    model_service: &ValidatedModelService,
    replies: &[StatusReply],
    rollout_complete: &ConditionResult,
) -> Option<Sha256> {
    let is_mixed = rollout_complete.reason == Reason::ModelsDiffer.as_str();
    if !is_mixed || !is_replaced_automatically(model_service) {
        return None;
    }
    served_files(model_service, replies).last()
}

/// The previous result for the same spec, if a pod couldn't be queried.
fn previous_result(context: &StatusContext<'_>) -> Option<ConditionResult> {
    if !context
        .applied
        .replies()
        .contains(&StatusReply::Unreachable)
    {
        return None;
    }
    let known = status_condition(context.previous?, condition::ROLLOUT_COMPLETE)?;
    let is_it = known.reason == Reason::ModelsDiffer.as_str()
        && known.observed_generation == Some(context.model_service.generation());
    if !is_it {
        return None;
    }
    Some(ConditionResult::no(
        Reason::ModelsDiffer,
        known.message.clone(),
    ))
}
