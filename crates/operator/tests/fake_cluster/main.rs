//! The operator over a fake API server: single passes, faults, and the running controller.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod awaited;
mod batching;
mod claims;
mod controller;
mod faults;
mod lagging;
mod memory;
mod others;
mod pods;
mod quiet;
mod reconcile;
mod silent;
mod support;
mod switching;
mod undone;
mod upgrades;
