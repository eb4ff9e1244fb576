//! Parses the body of a request for a tabular model.
//!
//! The values are put into the model's inputs in one pass over the text, and rows beyond the maximum aren't kept, so a
//! hostile body takes no more memory than its own size. Each error names the field.

mod content;
mod reader;
mod visitors;

use std::num::NonZeroUsize;

pub use self::content::{Source, TableRequest};
use self::reader::Reader;
use super::table::Table;
use crate::request::{InvalidRequest, Protocol};

/// Maximum bytes of JSON per number with its separator and white space: the 24 characters of the longest double, and
/// indentation.
const BYTES_PER_NUMBER: usize = 64;

/// Maximum bytes of JSON per text.
const BYTES_PER_TEXT: usize = 4096;

/// Maximum bytes of JSON of everything but the values.
const BYTES_BESIDE_VALUES: usize = 16 * 1024;

/// Maximum bytes of a body for any model. It limits memory.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

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
