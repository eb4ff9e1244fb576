//! Parses the body of a request for a tabular model.
//!
//! The values are put into the model's inputs in one pass over the text, and rows beyond the maximum aren't kept, so a
//! hostile body takes no more memory than its own size. Each error names the field.

mod reader;
mod visitors;

use std::num::NonZeroUsize;

use springtide_inference::Tensor;

use self::reader::Reader;
use super::table::Table;
use crate::request::{InvalidRequest, Options};

/// Maximum bytes of JSON per number with its separator and white space: the 24 characters of the longest double, and
/// indentation.
const BYTES_PER_NUMBER: usize = 64;

/// Maximum bytes of JSON per text.
const BYTES_PER_TEXT: usize = 4096;

/// Maximum bytes of JSON of everything but the values.
const BYTES_BESIDE_VALUES: usize = 16 * 1024;

/// Maximum bytes of a body for any model. It limits memory.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The protocol of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `POST /predict`: `features`, `rows` or `columns`.
    Predict,
    /// `KServe`'s V1: `instances`, each a list of features, an object of columns, or a value.
    V1,
}

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

/// Maximum bytes of a body of at most `max_rows` rows.
#[must_use]
pub fn max_body_bytes(table: &Table, max_rows: NonZeroUsize) -> usize {
    let per_value = if table.has_text() {
        BYTES_PER_TEXT
    } else {
        BYTES_PER_NUMBER
    };
    let names = table.columns().iter().map(|column| column.name.len() + 8);
    // The names of columns stand in each row, but hardly ever with escapes and indentation.
    let per_row = table
        .values_per_row()
        .saturating_mul(per_value)
        .saturating_add(names.fold(0, usize::saturating_add));
    per_row
        .saturating_mul(max_rows.get())
        .saturating_add(BYTES_BESIDE_VALUES)
        .min(MAX_BODY_BYTES)
}

/// Parses a body of at most `max_rows` rows.
///
/// # Errors
/// [`InvalidRequest`]: the first error in the text.
pub fn parse(
    body: &[u8],
    table: &Table,
    max_rows: NonZeroUsize,
    protocol: Protocol,
) -> Result<TableRequest, InvalidRequest> {
    let mut reader = Reader::new(table, max_rows, protocol);
    match visitors::read(&mut reader, body) {
        Ok(()) => reader.finish(),
        Err(error) => Err(reader.error(body, &error)),
    }
}

#[cfg(test)]
mod tests;
