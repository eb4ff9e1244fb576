//! `ModelLoaded`: a pod has fetched and loaded the model that the spec names.

use super::{Evidence, Finding, Reason};
use crate::pods;

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
                failure.message
            ),
        ),
        (false, Some(failure)) => Finding::no(failure.reason.reason(), failure.message),
        (false, None) => Finding::unknown(Reason::Loading, "No pod has loaded the model yet."),
    }
}
