//! Termination messages: how a serving pod reports to the operator that it can't fetch or load its model.
//!
//! The fetching init container and the server write one JSON object to their termination message;
//! the operator reads it from the pod's container statuses and shows it in the condition
//! `ModelLoaded`. Kubernetes keeps at most 4096 bytes of it
//! (<https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>).

use serde::{Deserialize, Serialize};

/// Maximum size of a termination message in Kubernetes, in bytes.
pub const MAX_BYTES: usize = 4096;

/// Why a model could not be fetched or loaded. The names are stable: they become condition reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ModelFailure {
    /// The source has no such file, key or page (404, 410).
    ModelNotFound,
    /// The source can't be reached or has a transient error (5xx, connection refused, timeout).
    ModelUnreachable,
    /// The source rejected the request (401, 403 or another status that a retry doesn't change).
    ModelRefused,
    /// The content has another sha256 than expected.
    ChecksumMismatch,
    /// The content is larger than allowed.
    ModelTooLarge,
    /// ONNX Runtime can't load or run the file.
    ModelInvalid,
    /// The requested execution provider isn't available.
    ExecutionProviderUnavailable,
    /// The model can't be written to the pod's volume.
    StorageFailed,
}

impl ModelFailure {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ModelNotFound,
        Self::ModelUnreachable,
        Self::ModelRefused,
        Self::ChecksumMismatch,
        Self::ModelTooLarge,
        Self::ModelInvalid,
        Self::ExecutionProviderUnavailable,
        Self::StorageFailed,
    ];

    /// The name in conditions, events and JSON.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ModelNotFound => "ModelNotFound",
            Self::ModelUnreachable => "ModelUnreachable",
            Self::ModelRefused => "ModelRefused",
            Self::ChecksumMismatch => "ChecksumMismatch",
            Self::ModelTooLarge => "ModelTooLarge",
            Self::ModelInvalid => "ModelInvalid",
            Self::ExecutionProviderUnavailable => "ExecutionProviderUnavailable",
            Self::StorageFailed => "StorageFailed",
        }
    }
}

/// The termination message of a container that could not fetch or load its model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminationMessage {
    /// The reason, as a stable name.
    pub reason: ModelFailure,
    /// The cause and a remedy, for people. Deterministic for a fault.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_are_the_condition_reasons() {
        let message = TerminationMessage {
            reason: ModelFailure::ChecksumMismatch,
            message: "expected aa, got bb".to_owned(),
        };
        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(
            json,
            r#"{"reason":"ChecksumMismatch","message":"expected aa, got bb"}"#
        );
        assert_eq!(
            serde_json::from_str::<TerminationMessage>(&json).unwrap(),
            message
        );
        assert_eq!(
            serde_json::to_value(message.reason).unwrap(),
            message.reason.reason()
        );
    }
}
