//! A step that an HPA has taken.

use k8s_openapi::jiff::Timestamp;
use springtide_api::status::Limit;

use crate::autoscaling::readings::MetricReading;

/// A change of the number of pods by an HPA.
pub(super) struct Step {
    /// When.
    pub(super) time: Timestamp,
    /// Pods before.
    pub(super) from: i32,
    /// Pods after.
    pub(super) to: i32,
    pub(super) cause: StepCause,
}

/// Why an HPA has changed the number of pods.
pub(super) enum StepCause {
    /// There were fewer pods than it may have at least, or more than at most.
    Bounds {
        /// Which bound.
        limit: Limit,
        /// Its value.
        bound: i32,
        /// Whether it isn't the spec's own.
        by_schedule: bool,
    },
    /// What it reads.
    Readings {
        /// What asked for the most pods, where the HPA says so.
        deciding: Option<MetricReading>,
        /// What kept it from going as far.
        limit: Option<Limit>,
        /// Names of what could not be read.
        missing: Vec<String>,
    },
}
