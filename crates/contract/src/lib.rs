//! The contract between the operator and the server: names, defaults and formats that both use.
//!
//! The operator writes environment variables into pods, and metric names into queries. The server reads and exposes
//! them. Neither program imports the other. Both import this crate, so that a name can't change on one side alone.
//!
//! ```
//! use springtide_contract::{batching::BatchingMode, env};
//!
//! // The operator sets a variable of the container, and the server parses its value.
//! let (name, value) = (env::BATCHING_MODE, BatchingMode::Never.to_string());
//! assert_eq!((name, &*value), ("SPRINGTIDE_BATCHING_MODE", "never"));
//! assert_eq!(value.parse(), Ok(BatchingMode::Never));
//! ```

pub mod batching;
pub mod bounds;
pub mod defaults;
pub mod env;
pub mod execution_provider;
pub mod metrics;
pub mod names;
pub mod paths;
pub mod sha256;
pub mod task;
pub mod termination;
pub mod text;
