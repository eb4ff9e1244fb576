//! Plans, statuses and events, through the public API.

// Clippy takes only functions with #[test] for tests, not their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
// `json!` literals are most readable as values.
#![allow(clippy::needless_pass_by_value)]

mod behavior;
mod config_map_wait;
mod decisions;
mod engines;
mod golden;
mod invariants;
mod observation_failed;
mod ownership;
mod pod;
mod prometheus;
mod queries;
mod replicas;
mod rollout;
mod schedule;
mod server;
mod signals;
mod status;
mod support;
mod switching;
mod validation;
