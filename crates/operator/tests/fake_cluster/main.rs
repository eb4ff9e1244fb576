//! The operator over a fake API server: single reconciles, faults, and the running controller.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod awaited;
mod batching;
mod call_counts;
mod claims;
mod components;
mod controller;
mod faults;
mod lagging;
mod memory;
mod others;
mod pods;
mod quiet;
mod reconcile;
mod restoring;
mod running;
mod silent;
mod support;
mod switching;
mod undone;
mod upgrades;
