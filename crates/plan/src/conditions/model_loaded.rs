//! `ModelLoaded`: the pods have fetched and loaded the model that the spec names.

use super::{Evidence, Finding, pods};

pub(super) fn judge(evidence: &Evidence<'_>) -> Finding {
    let pods = pods::of_this_model(evidence.observed, evidence.model_service);
    if let Some(failure) = pods.iter().find_map(|pod| pods::model_failure(pod)) {
        return Finding::no(failure.reason.reason(), failure.message);
    }
    let is_loaded = |pod| pods::server(pod).is_some_and(|server| server.ready);
    if pods.into_iter().any(is_loaded) {
        return Finding::yes("Loaded", "The model is fetched and loaded.");
    }
    Finding::unknown("Loading", "No pod has loaded the model yet.")
}
