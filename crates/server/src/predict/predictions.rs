//! The answers to a request.

use std::time::Duration;

use springtide_tasks::answer::Answer;

/// The answers to a request, whatever the model's task is.
pub(crate) struct Predictions {
    /// One for each row or text.
    pub(crate) answers: Vec<Answer>,
    /// Whether the request had a list of them.
    pub(crate) list: bool,
    /// The ID that the client gave the request.
    pub(crate) request_id: Option<String>,
    /// Time since the arrival.
    pub(crate) latency: Duration,
    /// Rows of the largest batch in which a part of the request ran.
    pub(crate) batch_rows: usize,
    /// Tokens of all texts.
    pub(crate) tokens: usize,
}
