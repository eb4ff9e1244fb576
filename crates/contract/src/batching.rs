//! Whether the requests of several clients may run as one batch, and how a pod says so.
//!
//! The server decides it for each version of a model, and answers [`paths::STATUS`](crate::paths::STATUS)
//! with a [`ServerStatus`] as JSON; the operator reads that and shows it in a ModelService's status.

use serde::{Deserialize, Serialize};

use crate::names::names;

/// Who decides whether a model's requests may share a batch.
///
/// Serialized as `spec.server.batching.mode` has it (`Auto`); [`Self::name`] is the value of the server's flag
/// and of a model's `springtide.toml` (`auto`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum BatchingMode {
    /// The server: where rows are proven independent, or trial runs have shown no dependence.
    #[default]
    Auto,
    /// The model's owner, who guarantees that rows are independent.
    Always,
    /// The model's owner: each request runs alone.
    Never,
}

names! {
    BatchingMode {
        Auto: "auto",
        Always: "always",
        Never: "never",
    }
}

/// When queued requests become a batch.
///
/// Serialized as `spec.server.batching.policy` has it (`WorkConserving`); [`Self::name`] is the value of the
/// server's flag (`work-conserving`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum BatchingPolicy {
    /// As soon as a worker is idle.
    #[default]
    WorkConserving,
    /// When the batch is full or its oldest request has waited for the maximum time.
    Window,
}

names! {
    BatchingPolicy {
        WorkConserving: "work-conserving",
        Window: "window",
    }
}

/// Why a version's requests may share a batch, or why not. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BatchingReason {
    /// The model's graph proves that rows are independent.
    Proven,
    /// The graph doesn't decide it, and the trial runs have found no dependence.
    TrialPassed,
    /// The owner says so (`Always`).
    OwnerAlways,
    /// The graph shows that a row's outputs depend on other rows.
    Dependent,
    /// A trial run has shown that a row's outputs depend on other rows.
    TrialRefuted,
    /// The graph doesn't decide it, and the model could not be tried.
    TrialImpossible,
    /// In production, a row's outputs in a batch were not those of the row alone.
    SentinelMismatch,
    /// The model's inputs or outputs have no axis of rows.
    NoRowAxis,
    /// The owner says so (`Never`).
    OwnerNever,
    /// Batches of one row were asked for.
    OneRow,
}

impl BatchingReason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Proven,
        Self::TrialPassed,
        Self::OwnerAlways,
        Self::Dependent,
        Self::TrialRefuted,
        Self::TrialImpossible,
        Self::SentinelMismatch,
        Self::NoRowAxis,
        Self::OwnerNever,
        Self::OneRow,
    ];

    /// The name as it stands in status, metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proven => "Proven",
            Self::TrialPassed => "TrialPassed",
            Self::OwnerAlways => "OwnerAlways",
            Self::Dependent => "Dependent",
            Self::TrialRefuted => "TrialRefuted",
            Self::TrialImpossible => "TrialImpossible",
            Self::SentinelMismatch => "SentinelMismatch",
            Self::NoRowAxis => "NoRowAxis",
            Self::OwnerNever => "OwnerNever",
            Self::OneRow => "OneRow",
        }
    }

    /// Whether requests share batches for this reason.
    #[must_use]
    pub const fn enables(self) -> bool {
        matches!(self, Self::Proven | Self::TrialPassed | Self::OwnerAlways)
    }
}

/// Whether the requests of a version share batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchingStatus {
    /// Whether they do.
    pub enabled: bool,
    /// Why.
    pub reason: BatchingReason,
    /// Why, and what would change it, for people; deterministic for the same model.
    pub message: String,
}

/// One version that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// The model.
    pub name: String,
    /// The version.
    pub version: String,
    /// SHA-256 of its model file, in lower-case hexadecimal digits; servers before 0.2 don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether its requests share batches.
    pub batching: BatchingStatus,
}

/// What a server says of itself at [`paths::STATUS`](crate::paths::STATUS).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// The versions that serve.
    pub models: Vec<ModelStatus>,
    /// How its memory is shared out; servers before 0.2 don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStatus>,
}

/// How a server shares out its memory: bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// The limit of its container, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// For all requests together.
    pub requests_bytes: u64,
    /// Of one request at most.
    pub request_bytes: u64,
    /// What the container took when its models were loaded and warm and no request had come: its working set, as
    /// metrics of Kubernetes count it. Servers before 0.2 don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_rest_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_are_stable() {
        for reason in BatchingReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
        let status = BatchingStatus {
            enabled: true,
            reason: BatchingReason::Proven,
            message: "rows are independent".to_owned(),
        };
        assert_eq!(
            serde_json::to_string(&status).unwrap(),
            r#"{"enabled":true,"reason":"Proven","message":"rows are independent"}"#
        );
    }
}
