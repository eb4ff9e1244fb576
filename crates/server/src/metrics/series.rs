//! The series of one model.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use springtide_batching::{Arrival, CheckResult};

use super::families::ModelMetrics;
use super::outcome::Dropped;
use super::overhead::{AtomicF64, PodLoad};

/// Weight of the newest request in the average time per row, from which the capacity is computed.
const NEWEST_WEIGHT: f64 = 1.0 / 64.0;

/// The series of one model. Its versions share them.
#[derive(Debug)]
pub struct Series {
    pub(super) metrics: ModelMetrics,
    /// Average time in which the pod processes a row, over the latest requests.
    seconds_per_row: AtomicF64,
    pub(super) load: Arc<PodLoad>,
}

impl Series {
    pub(super) fn new(metrics: ModelMetrics, load: Arc<PodLoad>) -> Self {
        Self {
            metrics,
            seconds_per_row: AtomicF64::default(),
            load,
        }
    }

    /// Counts work that arrived for a model with this number of workers.
    pub fn arrived(&self, arrival: &Arrival, workers: NonZeroUsize) {
        let seconds = arrival.takes(&self.load.pod(workers));
        self.metrics.offered_seconds.inc_by(seconds);
        let (newest, before) = (seconds / arrival.rows(), self.seconds_per_row.get());
        // Two threads may lose one of two values here: it is an average of many.
        let average = if before == 0.0 {
            newest
        } else {
            before + (newest - before) * NEWEST_WEIGHT
        };
        self.seconds_per_row.set(average);
        if average > 0.0 {
            self.metrics.capacity.set(average.recip());
        }
    }

    /// Counts a request that was rejected for overload before it was read. Its size is unknown: it counts as
    /// one average row.
    pub(super) fn arrived_unread(&self) {
        self.metrics
            .offered_seconds
            .inc_by(self.seconds_per_row.get());
    }

    /// Counts a request that never ran.
    pub fn dropped(&self, reason: Dropped) {
        self.metrics.dropped[reason.index()].inc();
    }

    /// A request begins to run after this wait.
    pub fn waited(&self, wait: Duration) {
        self.metrics.queue_seconds.observe(wait.as_secs_f64());
    }

    /// A request of a shared batch ran again alone.
    pub fn checked(&self, check: CheckResult) {
        match check {
            CheckResult::Same => self.metrics.checks[0].inc(),
            CheckResult::Different | CheckResult::Tolerated => self.metrics.checks[1].inc(),
            CheckResult::Undecided => {}
        }
    }

    /// A batch ran, successfully or not.
    pub fn ran(&self, rows: usize, took: Duration) {
        self.metrics
            .batch_rows
            .observe(f64::from(u32::try_from(rows).unwrap_or(u32::MAX)));
        self.metrics.compute_seconds.observe(took.as_secs_f64());
    }
}
