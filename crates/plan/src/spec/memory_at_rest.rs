//! The known memory of a pod at rest, from an earlier status.

use k8s_openapi::{
    apimachinery::pkg::api::resource::Quantity,
    jiff::{SignedDuration, Timestamp},
};
use springtide_api::{
    ModelServiceStatus,
    status::{ModelStatus, condition},
};

use crate::observed::foreign_status::status_condition;

/// Time for which reports of serving pods are awaited. Pods of older servers and unreachable pods never report.
pub(crate) const REPORT_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

/// The inputs for the memory target.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MemoryAtRest {
    /// Memory of a pod of the current model at rest, in MiB.
    pub(crate) at_rest_mebibytes: Option<i32>,
    /// Until when reports are awaited. `None` while no pod has served.
    pub(crate) report_deadline: Option<Timestamp>,
    /// Memory request of a pod.
    pub(crate) request: Quantity,
    /// Memory limit of a pod, if it has one.
    pub(crate) limit: Option<Quantity>,
}

impl MemoryAtRest {
    /// From an earlier status of the same model, and from the time since which a pod has served it.
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

/// Since when, according to the status, a pod has served the model.
pub(crate) fn loaded_since(status: &ModelServiceStatus) -> Option<Timestamp> {
    let loaded = status_condition(status, condition::MODEL_LOADED);
    let loaded = loaded.filter(|loaded| loaded.status == "True");
    loaded.map(|loaded| loaded.last_transition_time.0)
}
