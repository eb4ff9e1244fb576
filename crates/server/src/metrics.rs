//! Metrics, named as the contract names them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};
use springtide_batching::{LeftQueue, Observer};
use springtide_contract::metrics as names;

/// Content type of the text that Prometheus scrapes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Seconds. Alerts and autoscaling look at 0.5 and 1: both are boundaries, with neighbours close
/// enough that an interpolated p95 near them is right to a tenth.
const LATENCY_BUCKETS: [f64; 21] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55,
    0.65, 0.8, 1.0, 2.0, 5.0,
];

/// Seconds that a batch takes.
const COMPUTE_BUCKETS: [f64; 15] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

/// Rows.
const BATCH_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0, 4096.0];

/// Outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A prediction was given.
    Success,
    /// The client's fault.
    Invalid,
    /// Not accepted: overload, loading or draining.
    Rejected,
    /// Accepted, but not in time.
    Timeout,
    /// The client went away first.
    Cancelled,
    /// The server's fault.
    Error,
}

impl Status {
    const ALL: [Self; 6] = [
        Self::Success,
        Self::Invalid,
        Self::Rejected,
        Self::Timeout,
        Self::Cancelled,
        Self::Error,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Invalid => "invalid",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
        }
    }
}

/// Why a request never ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// No room in the queue.
    QueueFull,
    /// Its time was up.
    Timeout,
    /// Its client went away.
    Cancelled,
    /// The server was about to end.
    Draining,
}

impl Dropped {
    const ALL: [Self; 4] = [
        Self::QueueFull,
        Self::Timeout,
        Self::Cancelled,
        Self::Draining,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Draining => "draining",
        }
    }
}

/// All metrics of the server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    received: IntCounter,
    answered: IntCounterVec,
    dropped: IntCounterVec,
    latency: Histogram,
    batch_rows: Histogram,
    queue_seconds: Histogram,
    compute_seconds: Histogram,
    waiting_rows: IntGauge,
    active: IntGauge,
}

impl Metrics {
    /// Registers the metrics with the labels of a ModelService where there is one. Every series
    /// that a query may ask for is there from the start, as zero, so that rates have a beginning.
    ///
    /// # Errors
    /// When a label's value can't be one.
    pub fn new(
        model_service: Option<&str>,
        namespace: Option<&str>,
    ) -> Result<Self, prometheus::Error> {
        let labels = [
            (names::label::MODEL_SERVICE, model_service),
            (names::label::MODEL_SERVICE_NAMESPACE, namespace),
        ];
        let labels = labels
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        let registry = Registry::new_custom(None, Some(labels))?;
        let by = |label, name: &str, help: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = Histogram::with_opts(options)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let received = IntCounter::new(names::REQUESTS_RECEIVED_TOTAL, "Requests that arrived")?;
        registry.register(Box::new(received.clone()))?;
        let metrics = Self {
            received,
            answered: by(
                names::label::STATUS,
                names::REQUESTS_TOTAL,
                "Requests by their outcome",
            )?,
            dropped: by(
                names::label::REASON,
                names::REQUESTS_DROPPED_TOTAL,
                "Requests that never ran, by the reason",
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
            waiting_rows: gauge(names::QUEUE_SIZE, "Rows that wait in the queue")?,
            active: gauge(
                names::ACTIVE_REQUESTS,
                "Requests accepted and not yet answered",
            )?,
            registry,
        };
        for status in Status::ALL {
            metrics.answered.with_label_values(&[status.label()]);
        }
        for reason in Dropped::ALL {
            metrics.dropped.with_label_values(&[reason.label()]);
        }
        Ok(metrics)
    }

    /// The metrics as text, with the queue as it is now.
    ///
    /// # Errors
    /// When a series can't be written, which would be a fault of this module.
    pub fn text(&self, waiting_rows: usize) -> Result<String, prometheus::Error> {
        self.waiting_rows
            .set(i64::try_from(waiting_rows).unwrap_or(i64::MAX));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }

    /// Counts a request that arrives now.
    #[must_use]
    pub fn arrival(self: &Arc<Self>) -> Call {
        self.received.inc();
        Call {
            metrics: Arc::clone(self),
            arrived: Instant::now(),
            accepted: false,
            status: None,
        }
    }

    /// Counts a request that was not queued.
    pub fn dropped(&self, reason: Dropped) {
        self.dropped.with_label_values(&[reason.label()]).inc();
    }
}

impl Observer for Metrics {
    fn begins(&self, waited: Duration) {
        self.queue_seconds.observe(waited.as_secs_f64());
    }

    fn ran(&self, rows: usize, took: Duration) {
        self.batch_rows
            .observe(f64::from(u32::try_from(rows).unwrap_or(u32::MAX)));
        self.compute_seconds.observe(took.as_secs_f64());
    }

    fn stopped(&self, rows: usize, after: Duration) {
        self.ran(rows, after);
    }

    fn left_queue(&self, reason: LeftQueue) {
        self.dropped(match reason {
            LeftQueue::Expired => Dropped::Timeout,
            LeftQueue::Cancelled => Dropped::Cancelled,
        });
    }
}

/// One request. Dropped without an end, it counts as cancelled: its client went away.
#[derive(Debug)]
pub struct Call {
    metrics: Arc<Metrics>,
    arrived: Instant,
    accepted: bool,
    status: Option<Status>,
}

impl Call {
    /// When the request arrived.
    #[must_use]
    pub const fn arrived(&self) -> Instant {
        self.arrived
    }

    /// The request is valid and goes to the queue.
    pub fn accept(&mut self) {
        self.accepted = true;
        self.metrics.active.inc();
    }

    /// The request is answered.
    pub fn end(mut self, status: Status) {
        self.status = Some(status);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let status = self.status.unwrap_or(Status::Cancelled);
        self.metrics
            .answered
            .with_label_values(&[status.label()])
            .inc();
        if self.accepted {
            self.metrics.active.dec();
            // Refusals are quick: counted in, they would make an overloaded server look fast.
            if matches!(status, Status::Success | Status::Timeout | Status::Error) {
                self.metrics
                    .latency
                    .observe(self.arrived.elapsed().as_secs_f64());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(None, None).unwrap())
    }

    #[track_caller]
    fn assert_lines(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "{line} in {text}");
        }
    }

    #[test]
    fn every_series_carries_the_labels_of_its_model_service() {
        let text = Metrics::new(Some("iris"), Some("team-a"))
            .unwrap()
            .text(0)
            .unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            for label in [
                r#"modelservice="iris""#,
                r#"modelservice_namespace="team-a""#,
            ] {
                assert!(line.contains(label), "{line}");
            }
        }
    }

    #[test]
    fn outside_a_model_service_there_are_no_such_labels() {
        let text = metrics().text(0).unwrap();
        assert!(!text.contains("modelservice"), "{text}");
    }

    #[test]
    fn every_outcome_and_reason_is_there_from_the_start() {
        let text = metrics().text(0).unwrap();
        for status in [
            "success",
            "invalid",
            "rejected",
            "timeout",
            "cancelled",
            "error",
        ] {
            assert_lines(
                &text,
                &[&format!("ml_requests_total{{status=\"{status}\"}} 0")],
            );
        }
        for reason in ["queue_full", "timeout", "cancelled", "draining"] {
            assert_lines(
                &text,
                &[&format!(
                    "ml_requests_dropped_total{{reason=\"{reason}\"}} 0"
                )],
            );
        }
        for name in ["ml_batch_size", "ml_queue_seconds", "ml_compute_seconds"] {
            assert_lines(&text, &[&format!("{name}_count 0")]);
        }
    }

    #[test]
    fn gauges_follow_the_queue_and_the_calls() {
        let metrics = metrics();
        let mut call = metrics.arrival();
        call.accept();
        let text = metrics.text(7).unwrap();
        assert_lines(&text, &["ml_queue_size 7", "ml_active_requests 1"]);
        call.end(Status::Success);
        let text = metrics.text(0).unwrap();
        let expected = [
            "ml_queue_size 0",
            "ml_active_requests 0",
            "ml_request_latency_seconds_count 1",
            "ml_requests_received_total 1",
        ];
        assert_lines(&text, &expected);
    }

    #[test]
    fn a_call_without_an_end_was_cancelled() {
        let metrics = metrics();
        let mut call = metrics.arrival();
        call.accept();
        drop(call);
        let expected = [
            "ml_requests_total{status=\"cancelled\"} 1",
            "ml_active_requests 0",
            "ml_request_latency_seconds_count 0",
        ];
        assert_lines(&metrics.text(0).unwrap(), &expected);
    }

    #[test]
    fn refusals_do_not_count_as_fast_answers() {
        let metrics = metrics();
        let mut call = metrics.arrival();
        call.accept();
        call.end(Status::Rejected);
        assert_lines(
            &metrics.text(0).unwrap(),
            &["ml_request_latency_seconds_count 0"],
        );
    }

    #[test]
    fn half_a_second_is_a_boundary_with_close_neighbours() {
        let at = LATENCY_BUCKETS
            .iter()
            .position(|boundary| *boundary == 0.5)
            .unwrap();
        assert!(LATENCY_BUCKETS[at - 1] >= 0.45 && LATENCY_BUCKETS[at + 1] <= 0.55);
        assert!(
            LATENCY_BUCKETS.contains(&1.0),
            "the alert's threshold is a boundary"
        );
        assert!(LATENCY_BUCKETS.is_sorted());
    }
}
