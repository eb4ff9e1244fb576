//! Statistics of a version since its load, as defined by Triton's statistics extension of the Open Inference
//! Protocol:
//! <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md>.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Count and total duration of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Count.
    pub count: u64,
    /// Total duration, in nanoseconds.
    pub nanoseconds: u64,
}

/// The batches of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchTimes {
    /// Rows of each batch.
    pub rows: u64,
    /// Their runs.
    pub compute: Times,
}

/// Statistics of a version since its load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Time at which the last request was accepted, in milliseconds since 1970; 0 before the first.
    pub last_inference: u64,
    /// Rows of successful requests.
    pub inferences: u64,
    /// Batches that ran.
    pub executions: u64,
    /// Successful requests, from acceptance to response.
    pub success: Times,
    /// Failed requests.
    pub fail: Times,
    /// Queue times of successful requests.
    pub queue: Times,
    /// Run times of the batches of successful requests, once for each request.
    pub compute: Times,
    /// Batches that ran, by their rows.
    pub batches: Vec<BatchTimes>,
}

#[derive(Debug, Default)]
struct Sum {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Sum {
    fn add(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds
            .fetch_add(nanoseconds(took), Ordering::Relaxed);
    }

    fn read(&self) -> Times {
        Times {
            count: self.count.load(Ordering::Relaxed),
            nanoseconds: self.nanoseconds.load(Ordering::Relaxed),
        }
    }
}

/// Saturates after 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Lock-free counters.
#[derive(Debug)]
pub(super) struct Counters {
    last_inference: AtomicU64,
    inferences: AtomicU64,
    success: Sum,
    fail: Sum,
    queue: Sum,
    compute: Sum,
    /// By number of rows, from 1.
    batches: Box<[Sum]>,
}

impl Counters {
    pub(super) fn new(max_rows: NonZeroUsize) -> Self {
        Self {
            last_inference: AtomicU64::new(0),
            inferences: AtomicU64::new(0),
            success: Sum::default(),
            fail: Sum::default(),
            queue: Sum::default(),
            compute: Sum::default(),
            batches: std::iter::repeat_with(Sum::default)
                .take(max_rows.get())
                .collect(),
        }
    }

    /// A request was accepted.
    pub(super) fn accepted(&self, now: SystemTime) {
        let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let milliseconds = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        self.last_inference.store(milliseconds, Ordering::Relaxed);
    }

    /// A request with this number of rows was answered.
    pub(super) fn succeeded(&self, rows: usize, took: Duration, waited: Duration, ran: Duration) {
        self.inferences
            .fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.success.add(took);
        self.queue.add(waited);
        self.compute.add(ran);
    }

    /// A request failed.
    pub(super) fn failed(&self, took: Duration) {
        self.fail.add(took);
    }

    /// A batch ran.
    pub(super) fn ran(&self, rows: usize, took: Duration) {
        if let Some(sum) = rows.checked_sub(1).and_then(|at| self.batches.get(at)) {
            sum.add(took);
        }
    }

    pub(super) fn read(&self) -> Statistics {
        let sizes = (1..).zip(self.batches.iter().map(Sum::read));
        let batches: Vec<BatchTimes> = sizes
            .filter(|(_, compute)| compute.count > 0)
            .map(|(rows, compute)| BatchTimes { rows, compute })
            .collect();
        Statistics {
            last_inference: self.last_inference.load(Ordering::Relaxed),
            inferences: self.inferences.load(Ordering::Relaxed),
            executions: batches.iter().map(|batch| batch.compute.count).sum(),
            success: self.success.read(),
            fail: self.fail.read(),
            queue: self.queue.read(),
            compute: self.compute.read(),
            batches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_batches_are_counted_apart() {
        let counters = Counters::new(NonZeroUsize::new(4).unwrap());
        assert_eq!(counters.read(), Statistics::default());
        let ms = Duration::from_millis;
        counters.accepted(UNIX_EPOCH + ms(1_234));
        counters.ran(3, ms(5));
        counters.succeeded(1, ms(10), ms(4), ms(5));
        counters.succeeded(2, ms(12), ms(6), ms(5));
        counters.ran(1, ms(1));
        counters.failed(ms(2));
        let times = |count, milliseconds: u64| Times {
            count,
            nanoseconds: milliseconds * 1_000_000,
        };
        let expected = Statistics {
            last_inference: 1_234,
            inferences: 3,
            executions: 2,
            success: times(2, 22),
            fail: times(1, 2),
            queue: times(2, 10),
            compute: times(2, 10),
            batches: vec![
                BatchTimes {
                    rows: 1,
                    compute: times(1, 1),
                },
                BatchTimes {
                    rows: 3,
                    compute: times(1, 5),
                },
            ],
        };
        assert_eq!(counters.read(), expected);
    }

    #[test]
    fn a_batch_beyond_the_bound_is_no_panic() {
        let counters = Counters::new(NonZeroUsize::MIN);
        counters.ran(0, Duration::ZERO);
        counters.ran(2, Duration::ZERO);
        assert_eq!(counters.read().executions, 0);
    }
}
