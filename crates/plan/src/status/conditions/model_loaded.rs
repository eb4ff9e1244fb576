//! `ModelLoaded`: a pod has fetched and loaded the model of the spec.

use k8s_openapi::api::core::v1::Pod;
use springtide_api::ModelUri;
use springtide_contract::termination::{ModelFailure, TerminationMessage};

use super::{ConditionResult, Reason, StatusContext};
use crate::{observed::pods, spec::ValidatedModelService};

pub(super) fn evaluate(context: &StatusContext<'_>) -> ConditionResult {
    let pods = pods::of_this_model(context.observed, context.model_service);
    let failure = pods.iter().find_map(|pod| {
        pods::model_failure(pod).or_else(|| without_uri(pod, context.model_service))
    });
    let is_loaded = pods.into_iter().any(pods::is_serving);
    match (is_loaded, failure) {
        (true, None) => ConditionResult::yes(Reason::Loaded, "The model is loaded."),
        // The model is valid. A failure of another pod, such as a full disk or an unreachable source, doesn't change
        // that.
        (true, Some(failure)) => ConditionResult::yes(
            Reason::Loaded,
            format!(
                "The model is loaded. Another pod fails with {}: {}",
                failure.reason.reason(),
                explain(&failure, context.model_service)
            ),
        ),
        (false, Some(failure)) => ConditionResult::no(
            failure.reason.reason(),
            explain(&failure, context.model_service),
        ),
        (false, None) => {
            ConditionResult::unknown(Reason::Loading, "No pod has loaded the model yet.")
        }
    }
}

/// The Secret with the model's URI, or its key, doesn't exist. The kubelet waits for it before it starts the container
/// that fetches the model.
fn without_uri(pod: &Pod, model_service: &ValidatedModelService) -> Option<TerminationMessage> {
    let ModelUri::Secret { name, .. } = model_service.model_uri() else {
        return None;
    };
    let missing = pods::missing_object(pods::fetch_status(pod)?)?;
    let is_it = missing.starts_with(&format!("secret \"{name}\""))
        || missing.ends_with(&format!("in Secret {}/{name}", model_service.namespace()));
    is_it.then(|| TerminationMessage {
        reason: ModelFailure::ModelNotFound,
        message: format!("{missing}. Create it: the pods start once it exists"),
    })
}

/// The message of a failure. Pods know only the URI, not its Secret; the operator knows only the Secret.
fn explain(failure: &TerminationMessage, model_service: &ValidatedModelService) -> String {
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
