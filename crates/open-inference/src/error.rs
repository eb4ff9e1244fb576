//! Errors of requests and responses.

/// Maximum length of an error, in bytes: it may quote the request.
const MAX_BYTES: usize = 512;

/// A request that can't be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// It violates the protocol or doesn't match the model.
    #[error("{0}")]
    Invalid(String),
    /// It is well formed and uses an unsupported feature.
    #[error("{0}")]
    Unsupported(String),
}

impl InvalidRequest {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Invalid(shortened(message.into()))
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::Unsupported(shortened(message.into()))
    }

    /// An error of an input.
    pub(crate) fn input(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(format!("input {name:?}: {problem}"))
    }

    /// An error of an output.
    pub(crate) fn output(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(format!("output {name:?}: {problem}"))
    }

    /// The error with a prefix.
    pub(crate) fn within(self, place: impl std::fmt::Display) -> Self {
        match self {
            Self::Invalid(message) => Self::new(format!("{place}{message}")),
            Self::Unsupported(message) => Self::unsupported(format!("{place}{message}")),
        }
    }
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_BYTES {
        message.truncate(message.floor_char_boundary(MAX_BYTES));
        message.push('…');
    }
    message
}

/// An output that JSON can't represent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "output {name:?}: element {element} is not finite, which JSON can't represent: request binary data"
)]
pub struct NotFinite {
    /// The output.
    pub name: String,
    /// Position of the element, row-major.
    pub element: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_quotes_no_more_than_a_few_lines() {
        let InvalidRequest::Invalid(message) = InvalidRequest::new("ä".repeat(10_000)) else {
            panic!("invalid");
        };
        assert!(message.len() <= MAX_BYTES + '…'.len_utf8());
        assert!(message.ends_with("ä…"));
    }
}
