//! The batcher.
//!
//! [`machine`] decides: it holds the queue and says, for a given instant, which requests run
//! together next, which expired and how long nothing will happen. It never reads a clock, spawns or
//! blocks. [`driver`] does: it gives the machine the time, hands its batches to worker threads and
//! brings the answers back.

pub mod driver;
pub mod machine;
pub mod stop;

pub use driver::{
    Answer, Driver, Failure, Handle, LeftQueue, Observer, Submission, Worker, WorkerDied,
};
pub use machine::{Config, Overload, Policy, Rejection};
pub use stop::Stop;
