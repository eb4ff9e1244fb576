//! What the graph of a model says about inputs on which it can run.

use std::collections::BTreeMap;

use crate::Model;

/// What the graph says about valid values of each graph input, by the input's name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidates {
    /// By the input's name.
    pub inputs: BTreeMap<String, Candidate>,
}

/// Valid values of one input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidate {
    /// By column (position along the last axis).
    pub columns: BTreeMap<usize, Values>,
    /// Of all columns.
    pub values: Option<Values>,
    /// Lengths by axis.
    pub lengths: BTreeMap<usize, Length>,
}

/// Valid values.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Any of these strings.
    Strings(Vec<String>),
    /// Any of these integers.
    Integers(Vec<i64>),
    /// Any integer of a range.
    Range {
        /// The least.
        least: i64,
        /// The greatest.
        greatest: i64,
    },
    /// Any of these floats.
    Floats(Vec<f64>),
}

/// Length of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// This long.
    Exactly(usize),
    /// At least this long.
    AtLeast(usize),
}

/// Nothing yet.
#[must_use]
pub fn candidates(_model: &Model) -> Candidates {
    Candidates::default()
}
