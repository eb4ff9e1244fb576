//! The batcher.
//!
//! [`machine`] decides: it holds the queue and says, for a given instant, which requests run
//! together next, which won't be answered in time and how long nothing will happen. It never reads a
//! clock, spawns or blocks. It learns what batches take ([`estimate`]) and whether clients come back
//! after an answer ([`linger`]). [`load`] tells what arriving work is worth. [`driver`] does: it gives the machine the time, hands its batches to
//! worker threads and brings the answers back.
//!
//! A server
//! - implements [`Worker`] for its model, and passes the [`Stop`] of a run on to whatever can end
//!   the run early ([`Stop::on_request`]);
//! - submits each request by [`Handle::submit`], with its rows, under [`Sharing::Alone`] where the model
//!   can't batch;
//! - lets batches be checked ([`Sharing::Checked`], [`Worker::check`]) and tells whoever owns the model
//!   when a check has shown that requests must not share batches ([`Observer::checked`]);
//! - answers [`Rejection::Overloaded`] with 429 and its `retry_after`, and counts it by its
//!   [`Overload`].

pub mod driver;
pub mod estimate;
pub mod linger;
pub mod load;
pub mod machine;
#[cfg(test)]
mod noise;
pub mod stop;

pub use driver::{
    Answer, Driver, Failure, Handle, LeftQueue, Observer, Submission, Worker, WorkerDied,
};
pub use estimate::Measured;
pub use load::{Arrival, Pod, Ran};
pub use machine::sentinel::{Check, Sentinel};
pub use machine::{Config, Objective, Overload, Policy, Rejection, Sharing};
pub use stop::Stop;
