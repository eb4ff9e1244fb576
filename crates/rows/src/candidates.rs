//! Candidates of valid inputs: values and lengths that the model's graph suggests.
//!
//! Many models fail on zeros and empty strings: an encoder has fixed categories, a table has an end, an integer is a
//! divisor, a kernel is longer than the axis. The analysis follows inputs through nodes that keep values in place, to
//! a node that constrains them. It follows axes through nodes that keep or scale lengths.
//!
//! This is a heuristic for trial runs. It may be wrong either way, and no proof depends on it.

mod collect;
mod constants;
mod elements;
mod graph;
mod known;
mod lengths;
mod operands;
mod shapes;
mod tensor;
mod valid_values;

pub use self::known::{Candidate, Candidates, Length, Values};
use crate::decode::Model;

/// Candidates of valid values of each input, by its name. This is a heuristic for trial runs.
///
/// The size of the model file and fixed limits per input bound time and memory.
#[must_use]
pub fn candidates(model: &Model) -> Candidates {
    graph::walk(model.graph())
}

#[cfg(test)]
mod tests;
