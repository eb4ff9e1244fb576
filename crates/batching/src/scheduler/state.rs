//! The state of the scheduler: the queue, the running batches and the learnt models.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::config::{Config, Policy, Sharing};
use super::overload::OverloadDetector;
use super::queue::Queue;
use super::runs::Runs;
use super::sentinel::SentinelState;
use crate::cancel::CancelHandle;
use crate::latency_model::{BatchLatency, LatencyEstimate, LatencyModel};
use crate::linger::ReturningClients;

/// The scheduler. `K` is a signature, `T` the payload of a request, `S` the sample of a check.
#[derive(Debug)]
pub struct Scheduler<K, T, S = ()> {
    pub(super) config: Config,
    pub(super) workers: NonZeroUsize,
    pub(super) queue: Queue<K, T>,
    pub(super) runs: Runs,
    pub(super) latency_model: LatencyModel,
    pub(super) returns: ReturningClients,
    /// Queued rows when the newest batch was formed: about as many will wait for the next.
    pub(super) newest_demand: usize,
    /// Maximum rows of the newest batch.
    pub(super) newest_full: usize,
    /// Since when an idle worker has been delaying a batch.
    pub(super) held_since: Option<Instant>,
    /// With an objective only.
    pub(super) overload: Option<OverloadDetector>,
    /// With shared and checked batches only.
    pub(super) watch: Option<SentinelState<S>>,
    pub(super) next_ticket: u64,
    pub(super) closed: bool,
}

impl<K: Clone + Eq + Hash, T, S> Scheduler<K, T, S> {
    /// Creates an empty scheduler with this number of idle workers, and earlier measurements, oldest first.
    #[must_use]
    pub fn new(config: Config, workers: NonZeroUsize, measured: &[BatchLatency]) -> Self {
        let mut latency_model = LatencyModel::default();
        for batch in measured {
            latency_model.observe(*batch);
        }
        let mut scheduler = Self {
            config,
            workers,
            queue: Queue::new(config.max_rows),
            runs: Runs::default(),
            latency_model,
            returns: ReturningClients::default(),
            newest_demand: 0,
            newest_full: 1,
            held_since: None,
            overload: config.objective.map(OverloadDetector::new),
            watch: match config.sharing {
                Sharing::Checked(sentinel) => Some(SentinelState::new(sentinel)),
                Sharing::Unchecked | Sharing::Alone => None,
            },
            next_ticket: 0,
            closed: false,
        };
        if scheduler.is_alone() {
            scheduler.run_alone();
        }
        scheduler
    }

    /// Queued rows. They may exceed [`Config::max_queue_rows`] by the rows of batches whose outputs were dropped,
    /// which are queued again.
    #[must_use]
    pub const fn waiting_rows(&self) -> usize {
        self.queue.rows()
    }

    /// Whether each request runs alone.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        matches!(self.config.sharing, Sharing::Alone)
    }

    /// Whether a worker is idle, or runs a check that can be cancelled. Without one, a push needs no
    /// [`Scheduler::poll`]: there is one when a batch ends.
    #[must_use]
    pub const fn has_idle_worker(&self) -> bool {
        self.runs.len() < self.workers.get()
    }

    /// The latest deadline of the batches that occupy all workers, past or future: after it, they have no clients.
    /// None while a worker is idle.
    #[must_use]
    pub fn last_deadline(&self) -> Option<Instant> {
        if self.has_idle_worker() {
            return None;
        }
        self.runs.deadline()
    }

    /// The estimate of the latency of batches.
    #[must_use]
    pub fn estimate(&self) -> Option<LatencyEstimate> {
        self.latency_model.estimate()
    }

    /// The target latency, in a sustained overload.
    pub(super) fn objective(&self) -> Option<Duration> {
        self.overload.as_ref()?.latency()
    }

    /// From now on batches are never delayed.
    pub const fn flush(&mut self) {
        self.config.policy = Policy::AT_ONCE;
    }

    /// From now on each batch is one request, also of queued ones, and there are no checks. Outputs of a running
    /// shared batch are dropped. Returns the handle of a running check.
    pub fn run_alone(&mut self) -> Option<CancelHandle> {
        self.flush();
        self.config.sharing = Sharing::Alone;
        self.queue.part();
        self.watch
            .take()
            .and_then(SentinelState::into_cancel_handle)
    }

    /// Updates the overload detector if all workers are busy.
    pub(super) fn note_busy(&mut self, now: Instant) {
        if !self.has_idle_worker()
            && let Some(overload) = &mut self.overload
        {
            overload.busy(now);
        }
    }
}
