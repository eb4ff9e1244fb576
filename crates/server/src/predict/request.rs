//! Parses the body of a prediction request.
//!
//! The numbers are parsed from the text into one flat list, and numbers beyond the maximum rows aren't kept, so a
//! hostile body takes no more memory than its own size. Each error names the field.

mod reader;

use std::num::NonZeroUsize;

use springtide_inference::Tensor;

pub use self::reader::parse;

/// Maximum bytes of a request ID.
const MAX_REQUEST_ID: usize = 256;

/// Maximum bytes of JSON per number with its separator and white space: the 24 characters of the longest double, and
/// indentation.
const BYTES_PER_NUMBER: usize = 64;

/// Maximum bytes of JSON of everything but the features.
const BYTES_BESIDE_NUMBERS: usize = 16 * 1024;

/// Maximum bytes of a body for any model. It limits memory.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The limits of a valid request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PredictLimits {
    /// Numbers in each row.
    pub features: NonZeroUsize,
    /// Maximum rows.
    pub max_rows: NonZeroUsize,
}

impl PredictLimits {
    /// Maximum bytes of a body.
    #[must_use]
    pub fn max_body_bytes(&self) -> usize {
        let numbers = self.features.get().saturating_mul(self.max_rows.get());
        let valid = numbers
            .saturating_mul(BYTES_PER_NUMBER)
            .saturating_add(BYTES_BESIDE_NUMBERS);
        valid.min(MAX_BODY_BYTES)
    }
}

/// A valid request.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictRequest {
    /// The rows: `float32[rows, features]`.
    pub features: Tensor,
    /// The number of rows.
    pub rows: NonZeroUsize,
    /// Whether `features` was a list of rows. Then the response has lists, too.
    pub list: bool,
    /// The ID that the client gave the request.
    pub request_id: Option<String>,
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

impl InvalidRequest {
    /// The error of too many rows.
    #[must_use]
    pub fn too_many_rows(rows: usize, max: NonZeroUsize) -> Self {
        FieldError::new(
            "features",
            format!("has {rows} rows, the maximum is {max} (--max-batch-size)"),
        )
        .into()
    }
}

/// The error of an invalid field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct FieldError {
    /// The field, with positions: `features[2][0]`.
    pub field: String,
    /// The problem, as the rest of a sentence that begins with the field.
    pub problem: String,
}

impl FieldError {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

#[cfg(test)]
mod tests;
