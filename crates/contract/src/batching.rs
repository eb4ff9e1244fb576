//! Batching: modes, policies, and the status that a server reports.
//!
//! The server decides for each version of a model whether requests may share batches. It reports the result at
//! [`paths::STATUS`](crate::paths::STATUS) as a [`ServerStatus`] in JSON. The operator shows it in the status of the
//! ModelService.

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
    /// The graph doesn't decide it, and trial runs have found no dependence.
    TrialPassed,
    /// The owner requests it (`Always`).
    OwnerAlways,
    /// The graph shows that a row's outputs depend on other rows.
    Dependent,
    /// A trial run has shown that a row's outputs depend on other rows.
    TrialRefuted,
    /// The graph doesn't decide it, and the model could not be tried.
    TrialImpossible,
    /// In production, the outputs of a row in a batch differed from those of the row alone.
    SentinelMismatch,
    /// The model's inputs or outputs have no axis of rows.
    NoRowAxis,
    /// The owner requests it (`Never`).
    OwnerNever,
    /// The maximum batch size is one row.
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

    /// The name in status, metrics and JSON.
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
    /// The reason and a remedy, for people. Deterministic for a model.
    pub message: String,
}

/// A version that is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// The model.
    pub name: String,
    /// The version.
    pub version: String,
    /// SHA-256 of its model file, in lower-case hexadecimal digits. Servers before 0.2 don't report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether its requests share batches.
    pub batching: BatchingStatus,
}

/// The status of a server at [`paths::STATUS`](crate::paths::STATUS).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// The versions that are served.
    pub models: Vec<ModelStatus>,
    /// Division of its memory. Servers before 0.2 don't report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStatus>,
}

/// Division of a server's memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// Memory limit of its container, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// Limit for all requests.
    pub requests_bytes: u64,
    /// Limit for one request.
    pub request_bytes: u64,
    /// Working set of the container, as Kubernetes' metrics count it, with loaded models and before the first request.
    /// Servers before 0.2 don't report it.
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
