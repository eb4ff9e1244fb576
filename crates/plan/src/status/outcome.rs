//! How carrying out a plan went.

use std::collections::BTreeMap;

use crate::child::ChildKind;

/// How carrying out a plan went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What could not be applied or deleted. A failed apply of `spec.replicas` is one of the
    /// Deployment.
    pub failures: BTreeMap<ChildKind, Failure>,
}

/// Why an object could not be applied or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why, as a stable name in camel case.
    pub reason: String,
    /// Why and what to do, for people; the same for the same fault.
    pub message: String,
}
