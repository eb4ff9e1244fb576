//! The machine's checks: what [`SentinelState`](super::sentinel::SentinelState) decides, in step with the queue and the
//! workers.

use std::hash::Hash;
use std::time::{Duration, Instant};

use super::runs::RunId;
use super::sentinel::CheckResult;
use super::state::Scheduler;
use crate::cancel::CancelHandle;

/// A request to run again, alone, and to be compared.
#[derive(Debug)]
pub struct CheckTask<S> {
    /// What was kept.
    pub sample: S,
    /// To be requested when [`Scheduler::interrupt`] says so.
    pub stop: CancelHandle,
    /// An overdue check keeps its worker busy as a batch does.
    pub(super) run: Option<RunId>,
}

impl<K: Clone + Eq + Hash, T, S> Scheduler<K, T, S> {
    /// Which request of a batch that ran well is to be kept.
    pub(super) fn choose_kept(&mut self, now: Instant, requests: usize) -> Option<usize> {
        self.watch.as_mut()?.choose(now, requests)
    }

    /// Keeps what [`Scheduler::succeeded`] asked for.
    pub fn keep(&mut self, now: Instant, sample: S) {
        if let Some(watch) = &mut self.watch {
            watch.keep(now, sample);
        }
    }

    /// The check that is overdue.
    pub(super) fn check_overdue(&mut self, now: Instant) -> Option<CheckTask<S>> {
        let (sample, stop) = self.watch.as_mut()?.start_overdue(now)?;
        // Nobody knows what it takes; nobody waits for it.
        let (run, _) = self.runs.begin(Vec::new(), now, now);
        self.note_busy(now);
        let run = Some(run);
        Some(CheckTask { sample, stop, run })
    }

    /// The check that can run while nothing waits.
    pub(super) fn check_idle(&mut self, now: Instant) -> Option<CheckTask<S>> {
        let (sample, stop) = self.watch.as_mut()?.start_idle(now)?;
        let run = None;
        Some(CheckTask { sample, stop, run })
    }

    /// When an idle worker will have a check to run.
    pub(super) fn check_starts(&self) -> Option<Instant> {
        self.watch.as_ref()?.starts(!self.queue.is_empty())
    }

    /// What ends a check whose worker is needed. To be asked when there is something to run for an idle
    /// worker and none sleeps.
    pub fn interrupt(&mut self, now: Instant) -> Option<CancelHandle> {
        let watch = self.watch.as_mut()?;
        if self.queue.is_empty() {
            return None;
        }
        watch.interrupt(now)
    }

    /// A check ended after so long, with a result, or without one because it was stopped: its worker is
    /// idle. Gives what it says, once and only if it isn't to be repeated. From the first difference on,
    /// each request runs alone, as after [`Scheduler::run_alone`].
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
            // No check runs.
            self.run_alone();
        }
        Some(settled)
    }
}
