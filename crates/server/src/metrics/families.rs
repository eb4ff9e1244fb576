//! The families of metrics that models have, each declared once.

use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use springtide_contract::metrics as names;
use springtide_contract::metrics::label;

use super::outcome::{Dropped, Status};

/// Bucket boundaries of latencies, in seconds. 0.5 and 1 are boundaries, since alerts and autoscaling compare
/// with them. Their neighbours are close enough that an interpolated p95 near them is right to a tenth.
pub(super) const LATENCY_BUCKETS: [f64; 21] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55,
    0.65, 0.8, 1.0, 2.0, 5.0,
];

/// Bucket boundaries of the run time of batches, in seconds.
const COMPUTE_BUCKETS: [f64; 15] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

/// Bucket boundaries of batch sizes, in rows.
const BATCH_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0, 4096.0];

/// Label values of the results of sentinel checks.
const CHECK_RESULTS: [&str; 2] = ["same", "different"];

/// Labels of a family that has one series per model.
const MODEL: &[&str] = &[label::MODEL];

/// A family that has series of each model.
pub(super) trait Family: Sized {
    /// The series of one model.
    type Series;

    fn register(self, registry: &Registry) -> Result<Self, prometheus::Error>;

    /// The series of a model. New ones begin at zero.
    fn of(&self, model: &str) -> Self::Series;

    fn remove(&self, model: &str);
}

/// One series per model.
impl<T: MetricVecBuilder + 'static> Family for MetricVec<T> {
    type Series = T::M;

    fn register(self, registry: &Registry) -> Result<Self, prometheus::Error> {
        registry.register(Box::new(self.clone()))?;
        Ok(self)
    }

    fn of(&self, model: &str) -> T::M {
        self.with_label_values(&[model])
    }

    fn remove(&self, model: &str) {
        remove(self, &[model]);
    }
}

/// One series per model and value of a second label.
#[derive(Debug)]
pub(super) struct ByValue<V, const N: usize> {
    vec: V,
    values: [&'static str; N],
}

impl<T: MetricVecBuilder + 'static, const N: usize> Family for ByValue<MetricVec<T>, N> {
    /// In the order of the values.
    type Series = [T::M; N];

    fn register(self, registry: &Registry) -> Result<Self, prometheus::Error> {
        let Self { vec, values } = self;
        let vec = vec.register(registry)?;
        Ok(Self { vec, values })
    }

    fn of(&self, model: &str) -> [T::M; N] {
        self.values
            .map(|value| self.vec.with_label_values(&[model, value]))
    }

    fn remove(&self, model: &str) {
        for value in self.values {
            remove(&self.vec, &[model, value]);
        }
    }
}

fn remove<T: MetricVecBuilder>(vec: &MetricVec<T>, labels: &[&str]) {
    if let Err(error) = vec.remove_label_values(labels) {
        tracing::debug!(?labels, %error, "there was no such series");
    }
}

fn by_value<const N: usize>(
    name: &str,
    help: &str,
    label: &str,
    values: [&'static str; N],
) -> Result<ByValue<IntCounterVec, N>, prometheus::Error> {
    let vec = IntCounterVec::new(Opts::new(name, help), &[label::MODEL, label])?;
    Ok(ByValue { vec, values })
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> Result<HistogramVec, prometheus::Error> {
    HistogramVec::new(
        HistogramOpts::new(name, help).buckets(buckets.to_vec()),
        MODEL,
    )
}

/// Defines [`Families`], and [`ModelMetrics`] with the series of one model.
macro_rules! families {
    ($($field:ident: $family:ty = $declared:expr;)+) => {
        /// All families.
        #[derive(Debug)]
        pub(super) struct Families {
            $($field: $family,)+
        }

        /// The series of one model, looked up once, so that counting needs no look-up.
        #[derive(Debug)]
        pub(super) struct ModelMetrics {
            $(pub(super) $field: <$family as Family>::Series,)+
        }

        impl Families {
            pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
                Ok(Self {
                    $($field: Family::register($declared?, registry)?,)+
                })
            }

            /// The series of a model. New ones begin at zero.
            pub(super) fn of(&self, model: &str) -> ModelMetrics {
                ModelMetrics {
                    $($field: Family::of(&self.$field, model),)+
                }
            }

            /// Removes the series of a model. Later counts of it are lost.
            pub(super) fn remove(&self, model: &str) {
                $(Family::remove(&self.$field, model);)+
            }
        }
    };
}

families! {
    received: IntCounterVec = IntCounterVec::new(
        Opts::new(names::REQUESTS_RECEIVED_TOTAL, "Received requests"),
        MODEL,
    );
    completed: ByValue<IntCounterVec, { Status::LABELS.len() }> = by_value(
        names::REQUESTS_TOTAL,
        "Requests by outcome",
        label::STATUS,
        Status::LABELS,
    );
    dropped: ByValue<IntCounterVec, { Dropped::LABELS.len() }> = by_value(
        names::REQUESTS_DROPPED_TOTAL,
        "Requests that never ran, by reason",
        label::REASON,
        Dropped::LABELS,
    );
    checks: ByValue<IntCounterVec, { CHECK_RESULTS.len() }> = by_value(
        names::SENTINEL_CHECKS_TOTAL,
        "Requests of shared batches that ran again alone, by result of the comparison",
        label::RESULT,
        CHECK_RESULTS,
    );
    latency: HistogramVec = histogram(
        names::REQUEST_LATENCY_SECONDS,
        "Time from the arrival of an accepted request to its response",
        &LATENCY_BUCKETS,
    );
    batch_rows: HistogramVec = histogram(
        names::BATCH_SIZE,
        "Rows per batch that ran",
        &BATCH_BUCKETS,
    );
    queue_seconds: HistogramVec = histogram(
        names::QUEUE_SECONDS,
        "Time that requests waited before their batch ran",
        &LATENCY_BUCKETS,
    );
    compute_seconds: HistogramVec = histogram(
        names::COMPUTE_SECONDS,
        "Run time of batches",
        &COMPUTE_BUCKETS,
    );
    active: IntGaugeVec = IntGaugeVec::new(
        Opts::new(names::ACTIVE_REQUESTS, "Accepted requests without a response yet"),
        MODEL,
    );
    offered_seconds: CounterVec = CounterVec::new(
        Opts::new(
            names::OFFERED_LOAD_SECONDS_TOTAL,
            "Work that arrived, as the time in which the pod does it",
        ),
        MODEL,
    );
    capacity: GaugeVec = GaugeVec::new(
        Opts::new(
            names::CAPACITY_ROWS_PER_SECOND,
            "Rows per second that the pod can process",
        ),
        MODEL,
    );
}
