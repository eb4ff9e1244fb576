//! What the body of a prediction request means.
//!
//! The numbers go straight from the text into one flat list, and nothing beyond the allowed rows is
//! kept, so a hostile body costs no more memory than its own size. Every complaint names the field.

mod reader;

use std::num::NonZeroUsize;

use springtide_inference::Tensor;

pub use self::reader::parse;

/// Most bytes of a request id.
const MAX_REQUEST_ID: usize = 256;

/// Bytes of JSON that one number may take with its separator and white space: the 24 characters of
/// the longest double, and room for indentation.
const BYTES_PER_NUMBER: usize = 64;

/// Bytes of JSON for everything that isn't a feature.
const BYTES_BESIDE_NUMBERS: usize = 16 * 1024;

/// Most bytes of any body, however many numbers a model takes: a bound for memory, not for models.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// What a valid request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PredictLimits {
    /// Numbers in each row.
    pub features: NonZeroUsize,
    /// Most rows.
    pub max_rows: NonZeroUsize,
}

impl PredictLimits {
    /// Most bytes of a body.
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
    /// How many there are.
    pub rows: NonZeroUsize,
    /// Whether `features` was a list of rows, so that lists are answered.
    pub list: bool,
    /// The client's name for this request.
    pub request_id: Option<String>,
}

/// Why a body isn't a valid request.
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
    /// The complaint about more rows than a request may have.
    #[must_use]
    pub fn too_many_rows(rows: usize, max: NonZeroUsize) -> Self {
        FieldError::new(
            "features",
            format!("has {rows} rows, one request may have {max} (--max-batch-size)"),
        )
        .into()
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct FieldError {
    /// The field, with positions: `features[2][0]`.
    pub field: String,
    /// The rest of the sentence that begins with the field.
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
