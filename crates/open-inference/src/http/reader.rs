//! The position of the parser in the JSON of a request, and errors with it.

use std::fmt;

use super::non_finite::non_finite_literal;
use crate::{InvalidRequest, Limits};

/// The parser's error for `\uD800`.
const BAD_ESCAPE: &str = "hex escape";

/// A position in the JSON.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// `inputs` or `outputs`, and the position in it.
    pub(super) item: Option<(&'static str, usize)>,
    /// Name of that input or output, after it is parsed.
    pub(super) name: Option<String>,
    pub(super) field: Option<&'static str>,
    /// Position of an element, row-major.
    pub(super) element: Option<usize>,
}

/// For example `inputs[0] "features": data[3]: `.
impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((list, index)) = self.item {
            write!(formatter, "{list}[{index}]")?;
            if let Some(name) = &self.name {
                write!(formatter, " {name:?}")?;
            }
            formatter.write_str(": ")?;
        }
        match (self.field, self.element) {
            (Some(field), Some(element)) => write!(formatter, "{field}[{element}]: "),
            (Some(field), None) => write!(formatter, "{field}: "),
            (None, _) => Ok(()),
        }
    }
}

/// `serde` carries errors only as text. The position of an error, and whether it is about an unsupported feature, is
/// therefore kept here.
pub(super) struct Reader<'l> {
    pub(super) limits: &'l mut Limits,
    pub(super) position: Position,
    unsupported: Option<String>,
}

impl<'l> Reader<'l> {
    pub(super) fn new(limits: &'l mut Limits) -> Self {
        Self {
            limits,
            position: Position::default(),
            unsupported: None,
        }
    }

    pub(super) fn invalid_request(self, json: &[u8], error: &serde_json::Error) -> InvalidRequest {
        let Self {
            position,
            unsupported,
            ..
        } = self;
        if let Some(problem) = unsupported {
            return InvalidRequest::unsupported(format!("{position}{problem}"));
        }
        let hint = if !error.is_syntax() {
            ""
        } else if non_finite_literal(json, error).is_some() {
            ". JSON has no NaN or infinity: send binary data"
        } else if error.to_string().contains(BAD_ESCAPE) {
            ". Strings are UTF-8, so an escape of a surrogate must be followed by that of its pair"
        } else {
            ""
        };
        InvalidRequest::new(format!("the JSON of the request: {position}{error}{hint}"))
    }

    pub(super) fn fail<E: serde::de::Error>(&mut self, problem: &InvalidRequest) -> E {
        if let InvalidRequest::Unsupported(message) = problem {
            self.unsupported = Some(message.clone());
        }
        E::custom(problem)
    }

    /// Enters a field, which must be unique.
    pub(super) fn enter<E: serde::de::Error>(
        &mut self,
        field: &'static str,
        seen: bool,
    ) -> Result<(), E> {
        self.position.field = Some(field);
        if seen {
            return Err(E::custom("is given twice"));
        }
        Ok(())
    }
}
