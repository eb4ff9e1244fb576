//! What a condition is judged from, and what comes of it.

use k8s_openapi::jiff::Timestamp;
use springtide_api::{ModelServiceStatus, status::ModelStatus};

use crate::{desired::Desired, observed::Observed, spec::ValidatedModelService, status::Outcome};

/// What is known about one aspect of a ModelService.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Whether it holds.
    pub(crate) truth: Truth,
    /// Why, as a stable name.
    pub(crate) reason: String,
    /// Why and what to do, for people.
    pub(crate) message: String,
}

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Finding {
    pub(crate) fn new(truth: Truth, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            truth,
            reason: reason.into(),
            message: message.into(),
        }
    }

    pub(crate) fn yes(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Truth::True, reason, message)
    }

    pub(crate) fn no(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Truth::False, reason, message)
    }

    pub(crate) fn unknown(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Truth::Unknown, reason, message)
    }
}

/// What conditions are judged from.
pub(crate) struct Evidence<'a> {
    pub(crate) model_service: &'a ValidatedModelService,
    pub(crate) observed: &'a Observed,
    pub(crate) desired: &'a Desired,
    pub(crate) outcome: &'a Outcome,
    /// What is known of the model, as the status tells it.
    pub(crate) model: &'a ModelStatus,
    /// The status before.
    pub(crate) previous: Option<&'a ModelServiceStatus>,
    pub(crate) now: Timestamp,
}
