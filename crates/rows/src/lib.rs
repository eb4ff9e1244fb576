//! Static analysis of ONNX graphs: are the rows of a batch independent?
//!
//! A server that stacks the rows of several requests must know that the outputs of a row in a batch are those of the
//! row alone. [`analyse`] proves this from the model's graph, operator by operator. Otherwise it names the node that
//! makes rows dependent, or the one that it can't decide. It also lists hazardous nodes, which could crash ONNX
//! Runtime. [`candidates`] derives constraints of valid inputs, for trial runs. Nothing here runs a model or reads a
//! file. `docs/adr/0021-rows-are-proven-independent.md` explains the method and its limits.
//!
//! ```no_run
//! use springtide_rows::{Model, Verdict, analyse};
//!
//! let model = Model::decode(std::fs::read("model.onnx")?.into())?;
//! match analyse(&model).verdict {
//!     Verdict::Independent => println!("requests may share batches"),
//!     Verdict::Dependent(node) => println!("rows depend on each other: {node}"),
//!     Verdict::Unknown(node) => println!("not decided: {node}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
