//! The models that are served.
//!
//! The [`ModelManager`] scans the source ([`directory`]), decides which versions to load and unload ([`plan`],
//! pure) and updates the [`Repository`]. A request finds its [`Model`] there; its inputs are validated and
//! queued. On each thread of the model a `BatchRunner` stacks the inputs of a batch, runs them at once and gives
//! each request its rows of the outputs.

pub mod batching;
pub mod checksum;
pub mod directory;
pub mod fingerprint;
mod folder;
pub mod isolation;
mod isolation_queue;
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
pub mod source;
pub mod statistics;
#[cfg(test)]
pub(crate) mod testing;
mod warmup;

/// Maximum size of a message about a model, in bytes. Clients, the operator and the log show it.
pub(crate) const MAX_MESSAGE: usize = 4096;

pub(crate) use self::folder::MODEL_FILE;
pub use self::manager::ModelManager;
pub use self::model::{InferError, Model};
pub use self::name::{ModelName, Version};
pub use self::repository::{IndexEntry, LookupError, Repository, State};
pub use self::request::{InferenceOutput, InputError, ValidatedInputs};
pub use self::source::ModelSource;
pub use self::statistics::Statistics;
