//! Sentinel checks in the scheduler: connects [`SentinelState`](super::sentinel::SentinelState) with the queue and the
//! workers.

use std::hash::Hash;
use std::time::{Duration, Instant};

use super::runs::RunId;
use super::sentinel::CheckResult;
use super::state::Scheduler;
use crate::cancel::CancelHandle;

/// A request to run again alone, and to compare.
#[derive(Debug)]
pub struct CheckTask<S> {
    /// The kept request and its output.
    pub sample: S,
    /// Cancelled when [`Scheduler::interrupt`] says so.
    pub cancel: CancelHandle,
    /// An overdue check occupies its worker as a batch does.
    pub(super) run: Option<RunId>,
}

impl<K: Clone + Eq + Hash, T, S> Scheduler<K, T, S> {
    /// The request of a completed batch to keep, if any.
    pub(super) fn choose_kept(&mut self, now: Instant, requests: usize) -> Option<usize> {
        self.watch.as_mut()?.choose(now, requests)
    }

    /// Keeps the request that [`Scheduler::succeeded`] selected.
    pub fn keep(&mut self, now: Instant, sample: S) {
        if let Some(watch) = &mut self.watch {
            watch.keep(now, sample);
        }
    }

    /// The overdue check, if there is one.
    pub(super) fn check_overdue(&mut self, now: Instant) -> Option<CheckTask<S>> {
        let (sample, cancel) = self.watch.as_mut()?.start_overdue(now)?;
        // Its duration is unknown, and it has no clients.
        let (run, _) = self.runs.begin(Vec::new(), now, now);
        self.note_busy(now);
        let run = Some(run);
        Some(CheckTask {
            sample,
            cancel,
            run,
        })
    }

    /// The check to run while the queue is empty, if there is one.
    pub(super) fn check_idle(&mut self, now: Instant) -> Option<CheckTask<S>> {
        let (sample, cancel) = self.watch.as_mut()?.start_idle(now)?;
        let run = None;
        Some(CheckTask {
            sample,
            cancel,
            run,
        })
    }

    /// The instant at which an idle worker may run a check.
    pub(super) fn check_starts(&self) -> Option<Instant> {
        self.watch.as_ref()?.starts(!self.queue.is_empty())
    }

    /// The handle that cancels a check whose worker is needed. To be called if requests are queued for an idle worker
    /// and no worker sleeps.
    pub fn interrupt(&mut self, now: Instant) -> Option<CancelHandle> {
        let watch = self.watch.as_mut()?;
        if self.queue.is_empty() {
            return None;
        }
        watch.interrupt(now)
    }

    /// A check ended after this time, with a result, or without one because it was cancelled: its worker is idle.
    /// Returns a final result once. After the first difference each request runs alone, as after
    /// [`Scheduler::run_alone`].
    pub fn checked(
        &mut self,
        now: Instant,
        check_task: CheckTask<S>,
        took: Duration,
        check: Option<CheckResult>,
    ) -> Option<CheckResult> {
        if let Some(run) = check_task.run {
            self.runs.end(run);
        }
        let watch = self.watch.as_mut()?;
        let settled = watch.ended(now, check_task.sample, took, check)?;
        if settled == CheckResult::Different {
            // No check is running.
            self.run_alone();
        }
        Some(settled)
    }
}
