//! The observer of a batcher, for metrics.

use std::time::Duration;

use crate::cost_model::Arrival;
use crate::scheduler::sentinel::CheckResult;

/// Why a request left the queue without running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueExit {
    /// Its deadline passed, or was too close for the run.
    Expired,
    /// Its client has left.
    Cancelled,
}

/// Receives what happens in a batcher, for metrics. It is called on the threads of callers and workers, so it must be
/// quick. Callers count rejections: they get them as [`Failure::Rejected`](super::Failure::Rejected).
pub trait Observer: Send + Sync + 'static {
    /// A request arrived that the batcher can run, whether it was queued or rejected in an overload. Not called before
    /// the first measurement; earlier requests are added to a later one.
    fn arrived(&self, arrival: &Arrival);
    /// A request begins to run for the first time, after this wait in the queue. Each accepted request comes either
    /// here or to [`Observer::exited_queue`].
    fn begins(&self, waited: Duration);
    /// A batch with these rows ran for this time, with or without success.
    fn ran(&self, rows: usize, took: Duration);
    /// A batch with these rows was cancelled after this time, because all of its clients had left.
    fn stopped(&self, rows: usize, after: Duration);
    /// A request left the queue without running.
    fn exited_queue(&self, reason: QueueExit);
    /// A request of a shared batch ran again alone. [`CheckResult::Different`] comes at most once: after it each
    /// request runs alone, and there are no more checks.
    fn checked(&self, check: CheckResult);
}
