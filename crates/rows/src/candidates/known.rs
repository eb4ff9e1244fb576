//! Candidates of valid inputs.

use std::collections::BTreeMap;

/// Candidates of a model's inputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidates {
    /// By the input's name. Inputs without constraints are left out.
    pub inputs: BTreeMap<String, Candidate>,
}

/// Candidates of one input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidate {
    /// Valid values of single columns, by their position along the last axis.
    pub columns: BTreeMap<usize, Values>,
    /// Valid values of elements of all other columns. None where they are unknown.
    pub values: Option<Values>,
    /// Valid lengths of free axes, by the axis.
    pub lengths: BTreeMap<usize, Length>,
}

impl Candidate {
    /// The valid values at this position along the last axis. None where they are unknown.
    #[must_use]
    pub fn column(&self, position: usize) -> Option<&Values> {
        self.columns.get(&position).or(self.values.as_ref())
    }
}

/// Valid values. Lists have 1 to 64 values, spread over all known ones. The first is the least likely to fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// For a string input, any of these: categories, keys, or texts of words of a vocabulary. Each has at most 256
    /// bytes.
    Strings(Vec<String>),
    /// For an integer input, any of these.
    Integers(Vec<i64>),
    /// For an input of integers or floats, any integer of this range, inclusive.
    Range {
        /// Minimum.
        least: i64,
        /// Maximum, at least `least`.
        greatest: i64,
    },
    /// For a float input, any of these.
    Floats(Vec<f64>),
}

/// Valid length of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// This length works, others only by chance: the length of weights, a multiple of strides.
    Exactly(usize),
    /// Shorter ones fail: the kernel of a convolution.
    AtLeast(usize),
}
