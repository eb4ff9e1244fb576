//! The series of one model, found once, so that counting needs no look-up.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use springtide_batching::{Arrival, CheckResult};
use springtide_contract::metrics as names;
use springtide_contract::metrics::label;

use super::load::{Number, PodLoad};
use super::outcome::{Dropped, Status};

/// Seconds. Alerts and autoscaling look at 0.5 and 1: both are boundaries, with neighbours close
/// enough that an interpolated p95 near them is right to a tenth.
pub(super) const LATENCY_BUCKETS: [f64; 21] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55,
    0.65, 0.8, 1.0, 2.0, 5.0,
];

/// Seconds that a batch takes.
const COMPUTE_BUCKETS: [f64; 15] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

/// Rows.
const BATCH_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0, 4096.0];

/// What a check can show, as labels have it.
const CHECK_RESULTS: [&str; 2] = ["same", "different"];

/// What the newest request counts in the average that capacity is told by.
const NEWEST: f64 = 1.0 / 64.0;

/// The series of one model. Its versions share them.
#[derive(Debug)]
pub struct Series {
    pub(super) received: IntCounter,
    pub(super) answered: [IntCounter; Status::LABELS.len()],
    dropped: [IntCounter; Dropped::LABELS.len()],
    checks: [IntCounter; CHECK_RESULTS.len()],
    pub(super) latency: Histogram,
    batch_rows: Histogram,
    queue_seconds: Histogram,
    compute_seconds: Histogram,
    pub(super) active: IntGauge,
    offered_seconds: Counter,
    capacity: Gauge,
    /// Of the pod, for a row of requests such as those that arrived of late.
    seconds_per_row: Number,
    pub(super) load: Arc<PodLoad>,
}

impl Series {
    /// Work arrived for a model with so many workers.
    pub fn arrived(&self, arrival: &Arrival, workers: NonZeroUsize) {
        let seconds = arrival.takes(&self.load.of(workers));
        self.offered_seconds.inc_by(seconds);
        let (newest, before) = (seconds / arrival.rows(), self.seconds_per_row.get());
        // Two threads may lose one of two values here: it is an average of many.
        let average = if before == 0.0 {
            newest
        } else {
            before + (newest - before) * NEWEST
        };
        self.seconds_per_row.set(average);
        if average > 0.0 {
            self.capacity.set(average.recip());
        }
    }

    /// A request was refused for overload before it was read: it counts as a row of those before it.
    pub(super) fn arrived_unread(&self) {
        self.offered_seconds.inc_by(self.seconds_per_row.get());
    }

    /// Counts a request that never ran.
    pub fn dropped(&self, reason: Dropped) {
        self.dropped[reason.index()].inc();
    }

    /// A request begins to run after this wait.
    pub fn waited(&self, wait: Duration) {
        self.queue_seconds.observe(wait.as_secs_f64());
    }

    /// A request of a shared batch ran again, alone.
    pub fn checked(&self, check: CheckResult) {
        match check {
            CheckResult::Same => self.checks[0].inc(),
            CheckResult::Different | CheckResult::Tolerated => self.checks[1].inc(),
            CheckResult::Undecided => {}
        }
    }

    /// A batch ran, well or not.
    pub fn ran(&self, rows: usize, took: Duration) {
        self.batch_rows
            .observe(f64::from(u32::try_from(rows).unwrap_or(u32::MAX)));
        self.compute_seconds.observe(took.as_secs_f64());
    }
}

/// The series of all models.
#[derive(Debug)]
pub(super) struct AllSeries {
    received: IntCounterVec,
    answered: IntCounterVec,
    dropped: IntCounterVec,
    checks: IntCounterVec,
    latency: HistogramVec,
    batch_rows: HistogramVec,
    queue_seconds: HistogramVec,
    compute_seconds: HistogramVec,
    active: IntGaugeVec,
    offered_seconds: CounterVec,
    capacity: GaugeVec,
    load: Arc<PodLoad>,
}

impl AllSeries {
    pub(super) fn new(registry: &Registry, load: Arc<PodLoad>) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = HistogramVec::new(options, &[label::MODEL])?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let active = IntGaugeVec::new(
            Opts::new(
                names::ACTIVE_REQUESTS,
                "Requests accepted and not yet answered",
            ),
            &[label::MODEL],
        )?;
        registry.register(Box::new(active.clone()))?;
        let offered_seconds = CounterVec::new(
            Opts::new(
                names::OFFERED_LOAD_SECONDS_TOTAL,
                "Work that arrived, as the time in which the pod does it",
            ),
            &[label::MODEL],
        )?;
        registry.register(Box::new(offered_seconds.clone()))?;
        let capacity = GaugeVec::new(
            Opts::new(
                names::CAPACITY_ROWS_PER_SECOND,
                "Rows that the pod can do per second",
            ),
            &[label::MODEL],
        )?;
        registry.register(Box::new(capacity.clone()))?;
        Ok(Self {
            received: counter(
                names::REQUESTS_RECEIVED_TOTAL,
                "Requests that arrived",
                &[label::MODEL],
            )?,
            answered: counter(
                names::REQUESTS_TOTAL,
                "Requests by their outcome",
                &[label::MODEL, label::STATUS],
            )?,
            dropped: counter(
                names::REQUESTS_DROPPED_TOTAL,
                "Requests that never ran, by the reason",
                &[label::MODEL, label::REASON],
            )?,
            checks: counter(
                names::SENTINEL_CHECKS_TOTAL,
                "Requests of shared batches that ran again, alone, by what their comparison has shown",
                &[label::MODEL, label::RESULT],
            )?,
            latency: histogram(
                names::REQUEST_LATENCY_SECONDS,
                "Time from the arrival of an accepted request to its answer",
                &LATENCY_BUCKETS,
            )?,
            batch_rows: histogram(
                names::BATCH_SIZE,
                "Rows of the batches that ran",
                &BATCH_BUCKETS,
            )?,
            queue_seconds: histogram(
                names::QUEUE_SECONDS,
                "Time that requests waited before their batch ran",
                &LATENCY_BUCKETS,
            )?,
            compute_seconds: histogram(
                names::COMPUTE_SECONDS,
                "Time that batches took to run",
                &COMPUTE_BUCKETS,
            )?,
            active,
            offered_seconds,
            capacity,
            load,
        })
    }

    /// The series of a model; they begin at zero where they aren't there yet.
    pub(super) fn of(&self, model: &str) -> Series {
        Series {
            received: self.received.with_label_values(&[model]),
            answered: Status::LABELS
                .map(|status| self.answered.with_label_values(&[model, status])),
            dropped: Dropped::LABELS.map(|reason| self.dropped.with_label_values(&[model, reason])),
            checks: CHECK_RESULTS.map(|result| self.checks.with_label_values(&[model, result])),
            latency: self.latency.with_label_values(&[model]),
            batch_rows: self.batch_rows.with_label_values(&[model]),
            queue_seconds: self.queue_seconds.with_label_values(&[model]),
            compute_seconds: self.compute_seconds.with_label_values(&[model]),
            active: self.active.with_label_values(&[model]),
            offered_seconds: self.offered_seconds.with_label_values(&[model]),
            capacity: self.capacity.with_label_values(&[model]),
            seconds_per_row: Number::default(),
            load: Arc::clone(&self.load),
        }
    }

    /// Takes the series of a model away. What is still counted into them is lost.
    pub(super) fn remove(&self, model: &str) {
        let mut removed = vec![
            self.received.remove_label_values(&[model]),
            self.latency.remove_label_values(&[model]),
            self.batch_rows.remove_label_values(&[model]),
            self.queue_seconds.remove_label_values(&[model]),
            self.compute_seconds.remove_label_values(&[model]),
            self.active.remove_label_values(&[model]),
            self.offered_seconds.remove_label_values(&[model]),
            self.capacity.remove_label_values(&[model]),
        ];
        removed.extend(
            Status::LABELS.map(|status| self.answered.remove_label_values(&[model, status])),
        );
        removed.extend(
            Dropped::LABELS.map(|reason| self.dropped.remove_label_values(&[model, reason])),
        );
        removed
            .extend(CHECK_RESULTS.map(|result| self.checks.remove_label_values(&[model, result])));
        for error in removed.into_iter().filter_map(Result::err) {
            tracing::debug!(model, %error, "there was no such series");
        }
    }
}
