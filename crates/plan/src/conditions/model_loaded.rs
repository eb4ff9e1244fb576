//! `ModelLoaded`: a pod has fetched and loaded the model that the spec names.

use springtide_api::ModelUri;
use springtide_contract::termination::{ModelFailure, TerminationMessage};

use super::{Evidence, Finding, Reason};
use crate::{pods, validated::ValidatedModelService};

pub(super) fn judge(evidence: &Evidence<'_>) -> Finding {
    let pods = pods::of_this_model(evidence.observed, evidence.model_service);
    let failure = pods.iter().find_map(|pod| pods::model_failure(pod));
    let is_loaded = pods.into_iter().any(pods::is_serving);
    match (is_loaded, failure) {
        (true, None) => Finding::yes(Reason::Loaded, "The model is fetched and loaded."),
        // The model is good. What keeps one pod from it (a full disk, a source that is down by now)
        // doesn't take it from the others.
        (true, Some(failure)) => Finding::yes(
            Reason::Loaded,
            format!(
                "The model is fetched and loaded. Another pod fails with {}: {}",
                failure.reason.reason(),
                explained(&failure, evidence.model_service)
            ),
        ),
        (false, Some(failure)) => Finding::no(
            failure.reason.reason(),
            explained(&failure, evidence.model_service),
        ),
        (false, None) => Finding::unknown(Reason::Loading, "No pod has loaded the model yet."),
    }
}

/// A pod knows its URI, and not the Secret that it was mounted from; the operator knows the Secret alone.
fn explained(failure: &TerminationMessage, model_service: &ValidatedModelService) -> String {
    let TerminationMessage { reason, message } = failure;
    let by_uri = matches!(
        reason,
        ModelFailure::ModelNotFound
            | ModelFailure::ModelUnreachable
            | ModelFailure::ModelRefused
            | ModelFailure::ChecksumMismatch
            | ModelFailure::ModelTooLarge
    );
    match model_service.model_uri() {
        ModelUri::Secret { name, key } if by_uri => {
            format!("{message} (spec.model.uriFrom: the URI is the key {key} of the Secret {name})")
        }
        _ => message.clone(),
    }
}
