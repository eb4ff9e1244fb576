//! What the graph of an ONNX model says about its rows.
//!
//! A server that joins the rows of several requests into one batch must know that each row's answer
//! is the same as when it runs alone. [`analyse`] proves it from the model's graph, operator by
//! operator, or says which node speaks against it, or which it can't judge. Nothing here runs a model
//! or reads a file; docs/adr/0021 tells the idea and its limits.

mod analysis;
mod call;
mod candidates;
mod constant;
mod decode;
mod dimension;
mod dispatch;
mod findings;
mod hazards;
mod names;
mod operators;
mod proto;
mod resources;
mod scope;
mod size;
#[cfg(test)]
mod tests;
mod value;
mod walk;

pub use analysis::{analyse, analyse_named_lengths};
pub use candidates::{Candidate, Candidates, Length, Values, candidates};
pub use decode::{DecodeError, Model};
pub use findings::{Analysis, Finding, Hazard, MAXIMUM_HAZARDS, Verdict};
