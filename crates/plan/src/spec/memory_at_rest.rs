//! What is known of the memory that a pod of the model takes at rest, from an earlier status.

use k8s_openapi::{
    apimachinery::pkg::api::resource::Quantity,
    jiff::{SignedDuration, Timestamp},
};
use springtide_api::{
    ModelServiceStatus,
    status::{ModelStatus, condition},
};

use crate::observed::foreign_status::status_condition;

/// How long pods that serve may take to say what they take at rest. Those of older servers never do, nor do those
/// that the operator can't reach.
pub(crate) const REPORT_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

/// What the target of memory is judged by.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MemoryAtRest {
    /// What a pod of the present model takes at rest, in MiB.
    pub(crate) at_rest_mebibytes: Option<i32>,
    /// From when on nothing more is expected of pods that haven't said it. Nothing while none has served.
    pub(crate) report_deadline: Option<Timestamp>,
    /// What a pod requests.
    pub(crate) request: Quantity,
    /// What it gets at most, where that is bounded.
    pub(crate) limit: Option<Quantity>,
}

impl MemoryAtRest {
    /// By what an earlier status has of the same model, and since when it has known that a pod serves it.
    pub(crate) fn of(
        known: Option<&ModelStatus>,
        loaded_since: Option<Timestamp>,
        request: Option<&Quantity>,
        limit: Option<&Quantity>,
    ) -> Self {
        let has_answered = known.is_some_and(|known| known.batching.is_some());
        let timeout = if has_answered {
            SignedDuration::ZERO
        } else {
            REPORT_TIMEOUT
        };
        Self {
            at_rest_mebibytes: known.and_then(|known| known.memory_at_rest_mebibytes),
            report_deadline: known
                .and(loaded_since)
                .and_then(|since| since.checked_add(timeout).ok()),
            request: request.cloned().unwrap_or_default(),
            limit: limit.cloned(),
        }
    }
}

/// Since when a status has known that a pod serves its model.
pub(crate) fn loaded_since(status: &ModelServiceStatus) -> Option<Timestamp> {
    let loaded = status_condition(status, condition::MODEL_LOADED);
    let loaded = loaded.filter(|loaded| loaded.status == "True");
    loaded.map(|loaded| loaded.last_transition_time.0)
}
