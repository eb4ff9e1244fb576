//! The models that serve.
//!
//! A [`Keeper`] looks at the source ([`directory`]), decides what to load and to unload ([`plan`],
//! pure) and keeps the [`Repository`] so. A request finds its [`Model`] there, has its inputs checked
//! and waits for its answer; on each of the model's threads a `Runner` stacks the requests of a batch,
//! runs them as one and gives each its rows of the outputs.

pub mod batching;
pub mod directory;
mod folder;
pub mod hint;
pub mod keeper;
pub mod load;
pub mod model;
pub mod name;
pub mod plan;
pub mod probe;
pub mod repository;
pub mod request;
pub mod runner;
pub mod shipped;
pub mod stamp;
pub mod statistics;
#[cfg(test)]
pub(crate) mod testing;
mod trial;
mod trials;

/// Most bytes of a text about a model that clients, the operator and the log see.
pub(crate) const MAX_MESSAGE: usize = 4096;

pub use self::keeper::{Keeper, Source};
pub use self::model::{InferError, Model};
pub use self::name::{ModelName, Version};
pub use self::repository::{IndexEntry, LookupError, Repository, State};
pub use self::request::{Checked, Inferred, InputError};
pub use self::statistics::Statistics;
