//! What is wrong with a request, or can't be said in an answer.

/// Most bytes of a complaint: it may quote what the client sent.
const MAX_BYTES: usize = 512;

/// Why a request isn't run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// It isn't what the protocol or the model says.
    #[error("{0}")]
    Invalid(String),
    /// It is well formed and asks for something that this server doesn't do.
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

    /// The complaint about an input.
    pub(crate) fn input(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(format!("input {name:?}: {problem}"))
    }

    /// The complaint about an output.
    pub(crate) fn output(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(format!("output {name:?}: {problem}"))
    }

    /// The same complaint, with what it is about before it.
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

/// An output that JSON can't hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "output {name:?}: element {element} is not finite, which JSON has no word for: ask for binary data"
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
