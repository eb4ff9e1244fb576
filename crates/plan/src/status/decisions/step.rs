//! A scaling step of an HPA.

use k8s_openapi::jiff::Timestamp;
use springtide_api::status::Limit;

use crate::autoscaling::readings::MetricReading;

/// A change of the replicas by an HPA.
pub(super) struct Step {
    /// Time of the change.
    pub(super) time: Timestamp,
    /// Replicas before.
    pub(super) from: i32,
    /// Replicas after.
    pub(super) to: i32,
    pub(super) cause: StepCause,
}

/// Why an HPA has changed the replicas.
pub(super) enum StepCause {
    /// The replicas were outside of the HPA's bounds.
    Bounds {
        /// Which bound.
        limit: Limit,
        /// Its value.
        bound: i32,
        /// Whether a schedule set it.
        by_schedule: bool,
    },
    /// The readings.
    Readings {
        /// The metric that asked for the most pods, if the HPA reports it.
        deciding: Option<MetricReading>,
        /// What limited the step.
        limit: Option<Limit>,
        /// Names of metrics without a reading.
        missing: Vec<String>,
    },
}
