//! The batcher: it decides which requests run together, and when.
//!
//! - [`scheduler`] decides: it has the queue, and returns the next action for a given instant. It has no clock, threads
//!   or I/O.
//! - [`latency_model`] estimates the latency of batches, and [`cost_model`] the cost of requests.
//! - [`linger`] decides whether an idle worker delays a batch for returning clients.
//! - [`driver`] connects the scheduler with the clock, the worker threads and the clients.
//!
//! A server
//! - implements [`Worker`] for its model, and cancels its run through the [`CancelHandle`];
//! - submits each request by [`Handle::submit`], with [`Sharing::Alone`] if the model can't batch;
//! - uses [`Sharing::Checked`] and [`Worker::check`] to compare outputs of batches, and reacts to
//!   [`Observer::checked`];
//! - answers [`Rejection::Overloaded`] with 429 and its `retry_after`.
//!
//! A single request runs at once, as the worker is idle:
//!
//! ```
//! use std::num::NonZeroUsize;
//! use std::time::{Duration, Instant};
//!
//! use springtide_batching::scheduler::{Action, Scheduler};
//! use springtide_batching::{Config, Policy, Sharing};
//!
//! let config = Config {
//!     policy: Policy::AT_ONCE,
//!     sharing: Sharing::Unchecked,
//!     max_rows: NonZeroUsize::new(32).unwrap(),
//!     max_queue_rows: NonZeroUsize::new(1024).unwrap(),
//!     objective: None,
//! };
//! let mut scheduler: Scheduler<&str, u32> = Scheduler::new(config, NonZeroUsize::MIN, &[]);
//! let now = Instant::now();
//! let deadline = now + Duration::from_secs(5);
//! scheduler.push(now, "float32[4]", NonZeroUsize::MIN, deadline, 7).unwrap();
//! let Action::Run(batch) = scheduler.poll(now) else {
//!     panic!("the worker is idle");
//! };
//! assert_eq!(batch.entries[0].payload, 7);
//! ```

pub mod cancel;
pub mod cost_model;
pub mod driver;
pub mod latency_model;
pub mod linger;
#[cfg(test)]
mod random;
pub mod scheduler;

pub use cancel::CancelHandle;
pub use cost_model::{Arrival, BatchCost, PodCapacity};
pub use driver::{
    Driver, Failure, Handle, Observer, QueueExit, Response, Submission, Worker, WorkerDied,
};
pub use latency_model::BatchLatency;
pub use scheduler::sentinel::{CheckResult, Sentinel};
pub use scheduler::{Config, Objective, Overload, Policy, Rejection, Sharing};
