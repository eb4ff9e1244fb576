//! Parts that requests of all tasks have in common.

use std::num::NonZeroUsize;

/// Maximum bytes of a request ID.
pub const MAX_REQUEST_ID: usize = 256;

/// The options of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The ID that the client gave the request.
    pub request_id: Option<String>,
    /// Whether the response has the probabilities of the classes.
    pub probabilities: bool,
    /// Maximum number of classes in the response, the most probable first. None: all, in the model's order.
    pub top_k: Option<NonZeroUsize>,
}

/// The error of an invalid body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Not a JSON object.
    #[error("the body is not a JSON object: {0}")]
    Malformed(String),
    /// A field is missing or has a wrong value.
    #[error(transparent)]
    Field(#[from] FieldError),
}

/// The error of an invalid field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct FieldError {
    /// The field, with positions: `features[2][0]`, `rows[2].age`.
    pub field: String,
    /// The problem, as the rest of a sentence that begins with the field.
    pub problem: String,
}

impl FieldError {
    /// The error of a field.
    #[must_use]
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}
