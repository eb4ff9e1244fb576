//! What the operator and the server must agree on.
//!
//! The operator writes these names into pods and queries, the server reads and serves them. Neither
//! half imports the other; both import this crate, so a name can't drift on one side alone.

pub mod batching;
pub mod bounds;
pub mod defaults;
pub mod env;
pub mod execution_provider;
pub mod metrics;
pub mod names;
pub mod paths;
pub mod sha256;
pub mod termination;
pub mod text;
