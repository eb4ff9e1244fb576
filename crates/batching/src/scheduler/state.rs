//! What the machine knows: its queue, its running batches and what is learnt of them.

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

/// The queue, and what is known about running batches. `K` are signatures, `T` what a request brings,
/// `S` what is kept of one that is to be checked.
#[derive(Debug)]
pub struct Scheduler<K, T, S = ()> {
    pub(super) config: Config,
    pub(super) workers: NonZeroUsize,
    pub(super) queue: Queue<K, T>,
    pub(super) runs: Runs,
    pub(super) latency_model: LatencyModel,
    pub(super) returns: ReturningClients,
    /// Rows that the newest batch was taken from: about as many will wait for the next.
    pub(super) newest_demand: usize,
    /// Rows that it could have had.
    pub(super) newest_full: usize,
    /// Since when an idle worker has been held.
    pub(super) held_since: Option<Instant>,
    /// Where there is an objective.
    pub(super) overload: Option<OverloadDetector>,
    /// Where batches are shared and checked.
    pub(super) watch: Option<SentinelState<S>>,
    pub(super) next_ticket: u64,
    pub(super) closed: bool,
}

impl<K: Clone + Eq + Hash, T, S> Scheduler<K, T, S> {
    /// An empty queue, as many idle workers as batches can run at the same time, and batches that
    /// were measured before, oldest first.
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

    /// Rows that wait now. May exceed [`Config::max_queue_rows`] for a moment by the rows of
    /// batches whose outputs are not given, which come back to the queue.
    #[must_use]
    pub const fn waiting_rows(&self) -> usize {
        self.queue.rows()
    }

    /// Whether each request runs alone.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        matches!(self.config.sharing, Sharing::Alone)
    }

    /// Whether a worker is idle, or can be: a check that may be stopped counts for nothing. While none
    /// is, a push needs no [`Scheduler::poll`]: there is one when a batch ends.
    #[must_use]
    pub const fn has_idle_worker(&self) -> bool {
        self.runs.len() < self.workers.get()
    }

    /// From when on nobody waits for any of the batches that keep all workers busy, whether that is to come
    /// or has been: the last of their deadlines. None while a worker is idle.
    #[must_use]
    pub fn last_deadline(&self) -> Option<Instant> {
        if self.has_idle_worker() {
            return None;
        }
        self.runs.deadline()
    }

    /// What is known of the time that batches take.
    #[must_use]
    pub fn estimate(&self) -> Option<LatencyEstimate> {
        self.latency_model.estimate()
    }

    /// The latency that answers should have, once the queue is standing.
    pub(super) fn objective(&self) -> Option<Duration> {
        self.overload.as_ref()?.latency()
    }

    /// From now on nothing is held back: there will hardly be more to wait for.
    pub const fn flush(&mut self) {
        self.config.policy = Policy::AT_ONCE;
    }

    /// From now on each batch is one request, of those that wait too, and nothing is checked. Requests
    /// that share a batch that runs now are not answered from it. Gives what ends a check that runs.
    pub fn run_alone(&mut self) -> Option<CancelHandle> {
        self.flush();
        self.config.sharing = Sharing::Alone;
        self.queue.part();
        self.watch.take().and_then(SentinelState::give_up)
    }

    /// Notes where all workers are busy now.
    pub(super) fn note_busy(&mut self, now: Instant) {
        if !self.has_idle_worker()
            && let Some(overload) = &mut self.overload
        {
            overload.busy(now);
        }
    }
}
