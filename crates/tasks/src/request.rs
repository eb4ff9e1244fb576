//! Parts that requests of all tasks have in common.

use std::num::NonZeroUsize;

/// Maximum bytes of a request ID.
pub const MAX_REQUEST_ID: usize = 256;

/// The protocol of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `POST /predict`: `features`, `rows` or `columns`; `text` and `text_pair`.
    Predict,
    /// `KServe`'s V1: `instances`, each a list of features, an object, or a value.
    V1,
}

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

impl Options {
    /// Reads an option, and ignores other fields.
    ///
    /// # Errors
    /// When its value is wrong.
    pub fn set(&mut self, field: &str, value: &serde_json::Value) -> Result<(), FieldError> {
        use serde_json::Value;
        let unlike = |expected: &str| {
            FieldError::new(field, format!("must be {expected}, not {}", kind(value)))
        };
        match (field, value) {
            ("request_id" | "probabilities" | "top_k", Value::Null) => {}
            ("request_id", Value::String(id)) => self.request_id = Some(checked_id(id)?),
            ("request_id", _) => return Err(unlike("a string")),
            ("probabilities", Value::Bool(wanted)) => self.probabilities = *wanted,
            ("probabilities", _) => return Err(unlike("true or false")),
            ("top_k", Value::Number(number)) if number.is_u64() => {
                let most = number.as_u64().and_then(|most| usize::try_from(most).ok());
                let most = most.and_then(NonZeroUsize::new);
                self.top_k = Some(most.ok_or_else(|| {
                    FieldError::new(field, format!("must be a positive integer, not {number}"))
                })?);
            }
            ("top_k", _) => return Err(unlike("a positive integer")),
            _ => {}
        }
        Ok(())
    }
}

/// Checks the number of items of a request.
///
/// # Errors
/// When there is none, or there are more than `max`.
pub(crate) fn check_count(
    field: &str,
    count: usize,
    items: &str,
    max: usize,
) -> Result<(), FieldError> {
    match count {
        0 => Err(FieldError::new(field, "must not be empty")),
        _ if count > max => {
            let problem = format!("has {count} {items}, the maximum is {max}");
            Err(FieldError::new(field, problem))
        }
        _ => Ok(()),
    }
}

/// The field of an item in messages.
pub(crate) fn item(field: &str, list: bool, position: usize) -> String {
    if list {
        format!("{field}[{position}]")
    } else {
        field.to_owned()
    }
}

/// A request ID.
///
/// # Errors
/// When it is too long.
pub fn checked_id(id: &str) -> Result<String, FieldError> {
    if id.len() > MAX_REQUEST_ID {
        let problem = format!(
            "has {} bytes, at most {MAX_REQUEST_ID} are allowed",
            id.len()
        );
        return Err(FieldError::new("request_id", problem));
    }
    Ok(id.to_owned())
}

/// The kind of a value, for messages.
#[must_use]
pub const fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
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
