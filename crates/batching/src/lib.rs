//! The batcher.
//!
//! [`scheduler`] decides: it holds the queue and says, for a given instant, which requests run
//! together next, which won't be answered in time and how long nothing will happen. It never reads a
//! clock, spawns or blocks. It learns what batches take ([`latency_model`]) and whether clients come back
//! after an answer ([`linger`]). [`cost_model`] tells what arriving work is worth. [`driver`] does: it gives the machine the time, hands its batches to
//! worker threads and brings the answers back.
//!
//! A server
//! - implements [`Worker`] for its model, and passes the [`CancelHandle`] of a run on to whatever can end
//!   the run early ([`CancelHandle::on_cancel`]);
//! - submits each request by [`Handle::submit`], with its rows, under [`Sharing::Alone`] where the model
//!   can't batch;
//! - lets batches be checked ([`Sharing::Checked`], [`Worker::check`]) and tells whoever owns the model
//!   when a check has shown that requests must not share batches ([`Observer::checked`]);
//! - answers [`Rejection::Overloaded`] with 429 and its `retry_after`, and counts it by its
//!   [`Overload`].

pub mod cancel;
pub mod cost_model;
pub mod driver;
pub mod latency_model;
pub mod linger;
#[cfg(test)]
mod noise;
pub mod scheduler;

pub use cancel::CancelHandle;
pub use cost_model::{Arrival, BatchCost, PodCapacity};
pub use driver::{
    Driver, Failure, Handle, Observer, QueueExit, Response, Submission, Worker, WorkerDied,
};
pub use latency_model::BatchLatency;
pub use scheduler::sentinel::{CheckResult, Sentinel};
pub use scheduler::{Config, Objective, Overload, Policy, Rejection, Sharing};
