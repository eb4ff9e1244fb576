//! The input of conditions, and their result.

use k8s_openapi::jiff::Timestamp;
use springtide_api::{ModelServiceStatus, status::ModelStatus};

use crate::{
    apply::Applied, autoscaling::ActiveAutoscaler, desired::Desired, observed::Observed,
    spec::ValidatedModelService,
};

/// The result of one condition, without its type and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConditionResult {
    /// The status.
    pub(crate) status: ConditionStatus,
    /// The reason, a stable name.
    pub(crate) reason: String,
    /// The cause and the remedy.
    pub(crate) message: String,
}

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl ConditionResult {
    pub(crate) fn new(
        status: ConditionStatus,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            reason: reason.into(),
            message: message.into(),
        }
    }

    pub(crate) fn yes(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::True, reason, message)
    }

    pub(crate) fn no(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::False, reason, message)
    }

    pub(crate) fn unknown(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::Unknown, reason, message)
    }
}

/// The input of all conditions.
pub(crate) struct StatusContext<'a> {
    pub(crate) model_service: &'a ValidatedModelService,
    /// The active autoscaler, as applied.
    pub(crate) active: &'a ActiveAutoscaler<'a>,
    /// The state after the plan was applied.
    pub(crate) applied: &'a Applied,
    /// Its objects.
    pub(crate) observed: &'a Observed,
    pub(crate) desired: &'a Desired,
    /// The model's part of the status.
    pub(crate) model: &'a ModelStatus,
    /// The previous status.
    pub(crate) previous: Option<&'a ModelServiceStatus>,
    pub(crate) now: Timestamp,
}
