//! Plans, statuses and events, from the outside.

// Clippy takes only functions with #[test] for tests, not their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
// `json!` literals read best where they are passed by value.
#![allow(clippy::needless_pass_by_value)]

mod awaited;
mod behavior;
mod decisions;
mod engines;
mod golden;
mod invariants;
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
mod unobserved;
mod validation;
