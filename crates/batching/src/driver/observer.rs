//! Whoever is told what happens.

use std::time::Duration;

use crate::cost_model::Arrival;
use crate::scheduler::sentinel::CheckResult;

/// Why a request left the queue without running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueExit {
    /// Its deadline passed, or came too close for the run.
    Expired,
    /// Whoever waited for its answer went away.
    Cancelled,
}

/// Is told what happens, for metrics. Called from the callers' and the workers' threads, so it must
/// be quick. Rejections are the callers' to count: they get them as
/// [`Failure::Rejected`](super::Failure::Rejected).
pub trait Observer: Send + Sync + 'static {
    /// A request arrived that the batcher can run, whether it was queued or refused for overload.
    /// Before anything is known of what batches cost this isn't called; those requests then come with
    /// a later one.
    fn arrived(&self, arrival: &Arrival);
    /// A request begins to run, for the first time, after this wait in the queue. Each request that
    /// is accepted comes here or to [`Observer::exited_queue`], and to one of them only.
    fn begins(&self, waited: Duration);
    /// A batch with this many rows took this long, whether it failed or not.
    fn ran(&self, rows: usize, took: Duration);
    /// A batch with this many rows was stopped after this time, because all of its clients had left.
    fn stopped(&self, rows: usize, after: Duration);
    /// A request left the queue without running.
    fn exited_queue(&self, reason: QueueExit);
    /// A request of a shared batch ran again, alone. [`CheckResult::Different`] comes once at most: from then
    /// on each request runs alone, and nothing more is checked.
    fn checked(&self, check: CheckResult);
}
