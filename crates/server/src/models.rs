//! The models that serve.
//!
//! A [`ModelManager`] looks at the source ([`directory`]), decides what to load and to unload ([`plan`],
//! pure) and keeps the [`Repository`] so. A request finds its [`Model`] there, has its inputs checked
//! and waits for its answer; on each of the model's threads a `Runner` stacks the requests of a batch,
//! runs them as one and gives each its rows of the outputs.

pub mod batching;
pub mod directory;
pub mod fingerprint;
mod folder;
pub mod isolation;
pub mod layout_problem;
pub mod loader;
pub mod manager;
pub mod model;
pub mod name;
pub mod owner_files;
pub mod plan;
pub mod repository;
pub mod request;
pub mod runner;
pub mod statistics;
#[cfg(test)]
pub(crate) mod testing;
mod warmup;

/// Most bytes of a text about a model that clients, the operator and the log see.
pub(crate) const MAX_MESSAGE: usize = 4096;

pub use self::manager::{ModelManager, ModelSource};
pub use self::model::{InferError, Model};
pub use self::name::{ModelName, Version};
pub use self::repository::{IndexEntry, LookupError, Repository, State};
pub use self::request::{InferenceOutput, InputError, ValidatedInputs};
pub use self::statistics::Statistics;
