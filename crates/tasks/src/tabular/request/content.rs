//! The forms of rows in a request.

use std::num::NonZeroUsize;

use springtide_inference::Tensor;

use crate::request::Options;

/// The field with the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `features`: a row, or a list of rows, without names.
    Features,
    /// `rows`: a list of objects.
    Rows,
    /// `columns`: an object of lists.
    Columns,
    /// `instances` of `KServe`'s V1.
    Instances,
}

impl Source {
    /// The name of the field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::Rows => "rows",
            Self::Columns => "columns",
            Self::Instances => "instances",
        }
    }

    /// The field of a row in messages. In columns, a row is a position of every list.
    #[must_use]
    pub fn row(self, row: usize, list: bool) -> String {
        match self {
            Self::Columns => format!("row {row} of columns"),
            _ if !list => self.name().to_owned(),
            _ => format!("{}[{row}]", self.name()),
        }
    }
}

/// A valid request.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRequest {
    /// The model's required inputs, in its order.
    pub inputs: Vec<Tensor>,
    /// The number of rows.
    pub rows: NonZeroUsize,
    /// Whether the response has lists: false for `features` with a single row.
    pub list: bool,
    /// The field with the rows.
    pub source: Source,
    /// The options.
    pub options: Options,
}
