//! Values and lengths on which a model can run, as far as its graph tells.
//!
//! Many models fail on zeros and empty strings: an encoder that knows its categories, a table that is
//! looked up, an integer that is divided by, a kernel that is longer than the axis. The inputs are
//! followed through the nodes that keep values in place, until one says which values it takes, and
//! their axes through those that keep or scale lengths.
//!
//! This is a heuristic for trial runs. It may be wrong in either way, and nothing is concluded from it.

mod collect;
mod constants;
mod elements;
mod graph;
mod known;
mod lengths;
mod operands;
mod shapes;
mod tensor;
mod wanted;

pub use self::known::{Candidate, Candidates, Length, Values};
use crate::decode::Model;

/// What the graph says about valid values of each graph input, by the input's name. Heuristic: it is
/// for trial runs, nothing is concluded from it.
///
/// Time and memory are bounded: by the size of the model file, and by fixed bounds for what is kept of
/// each input.
#[must_use]
pub fn candidates(model: &Model) -> Candidates {
    graph::walk(model.graph())
}

#[cfg(test)]
mod tests;
