//! What is known of a model's inputs.

use std::collections::BTreeMap;

/// What is known of a model's inputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidates {
    /// By the input's name; inputs of which nothing is known are left out.
    pub inputs: BTreeMap<String, Candidate>,
}

/// What is known of one input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidate {
    /// Valid values of single columns, by their position along the last axis.
    pub columns: BTreeMap<usize, Values>,
    /// Valid values of all elements whose column isn't in `columns`; none where nothing is known.
    pub values: Option<Values>,
    /// What is known of the lengths of axes that the model declares as free, by the axis.
    pub lengths: BTreeMap<usize, Length>,
}

impl Candidate {
    /// The values that are valid at this position along the last axis, where anything is known.
    #[must_use]
    pub fn column(&self, position: usize) -> Option<&Values> {
        self.columns.get(&position).or(self.values.as_ref())
    }
}

/// Valid values. Lists aren't empty, hold at most 64 values, spread over all that are known, and begin
/// with the one that is the least likely to fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Of a string input, any of these: categories, keys, texts made of a vocabulary's words. Each has
    /// at most 256 bytes.
    Strings(Vec<String>),
    /// Of an integer input, any of these.
    Integers(Vec<i64>),
    /// Of an input of integers or floats, any whole number of this range, bounds included.
    Range {
        /// The least.
        least: i64,
        /// The greatest, not below `least`.
        greatest: i64,
    },
    /// Of a float input, any of these.
    Floats(Vec<f64>),
}

/// What is known of an axis' length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// This length works; others do only by chance (the weights' length, a multiple of strides).
    Exactly(usize),
    /// Shorter ones fail (the kernel of a convolution).
    AtLeast(usize),
}
