//! CPU overhead of requests: what the pod's CPUs do for a request besides running the model.
//!
//! Reading requests and writing responses takes CPU time, for a small model more than the model does. The
//! overhead is measured: the CPU time of the threads that do this, divided by the requests that arrived
//! meanwhile, including rejected ones.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use springtide_batching::PodCapacity;

/// Minimum utilization of the pod's CPUs by overhead, as a fraction, for a window to raise the estimate. Below
/// it, work that goes on without requests is too large a part.
const MIN_UTILIZATION: f64 = 0.1;

/// Weight of the newest window in the estimate.
const NEWEST_WEIGHT: f64 = 0.5;

/// A measurement over some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Requests that arrived.
    pub requests: u64,
    /// CPU time spent on requests, without the model.
    pub overhead: Duration,
    /// Length of the window.
    pub elapsed: Duration,
    /// CPUs that the pod may use.
    pub cpus: f64,
}

/// The overhead of a request after one more window, in CPU seconds.
///
/// Work without requests makes requests look more expensive than they are. Each window can therefore lower the
/// estimate, but only windows with enough work can raise it.
fn updated(before: f64, window: &Window) -> f64 {
    if window.requests == 0 {
        return before;
    }
    let took = window.overhead.as_secs_f64();
    let each = took / window.requests as f64;
    let enough = window.elapsed.as_secs_f64() * window.cpus * MIN_UTILIZATION;
    if each < before {
        before + (each - before) * NEWEST_WEIGHT
    } else if took < enough {
        before
    } else if before == 0.0 {
        each
    } else {
        before + (each - before) * NEWEST_WEIGHT
    }
}

/// The pod's CPUs and the overhead of its requests, for the threads that compute the offered load. Lock-free.
#[derive(Debug)]
pub struct PodLoad {
    requests: AtomicU64,
    overhead: AtomicF64,
    cpus: AtomicF64,
}

impl PodLoad {
    /// A pod with this number of CPUs, before any request.
    pub(super) fn new(cpus: f64) -> Self {
        Self {
            requests: AtomicU64::default(),
            overhead: AtomicF64::default(),
            cpus: AtomicF64::new(cpus),
        }
    }

    /// Counts a request that arrived, whatever its outcome.
    pub(super) fn arrived(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of requests that have arrived.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Updates the estimate with a window. Must be called by one thread only.
    pub fn learn(&self, window: &Window) {
        self.cpus.set(window.cpus);
        self.overhead.set(updated(self.overhead.get(), window));
    }

    /// The pod as the cost model of the batcher sees it.
    pub(super) fn pod(&self, workers: NonZeroUsize) -> PodCapacity {
        PodCapacity {
            workers,
            cpus: self.cpus.get(),
            overhead: self.overhead.get(),
        }
    }
}

/// A number that threads share.
#[derive(Debug, Default)]
pub(super) struct AtomicF64(AtomicU64);

impl AtomicF64 {
    fn new(value: f64) -> Self {
        Self(AtomicU64::new(value.to_bits()))
    }

    pub(super) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A second of a pod with two CPUs.
    fn second(requests: u64, microseconds: u64) -> Window {
        Window {
            requests,
            overhead: Duration::from_micros(microseconds),
            elapsed: Duration::from_secs(1),
            cpus: 2.0,
        }
    }

    fn after(windows: &[Window]) -> f64 {
        windows.iter().fold(0.0, updated)
    }

    #[test]
    fn a_busy_second_shows_what_a_request_takes() {
        assert_eq!(after(&[second(10_000, 500_000)]), 50e-6);
    }

    #[test]
    fn an_idle_pod_does_not_make_its_few_requests_expensive() {
        assert_eq!(after(&[second(1, 30_000), second(0, 30_000)]), 0.0);
        let busy = second(10_000, 500_000);
        assert_eq!(after(&[busy, second(1, 30_000), second(0, 0)]), 50e-6);
    }

    #[test]
    fn cheaper_requests_lower_it_though_there_are_few() {
        let mut windows = vec![second(50, 500_000)];
        assert_eq!(after(&windows), 0.010);
        windows.extend([second(50, 1_500); 20]);
        assert!(after(&windows) < 40e-6);
    }

    proptest! {
        #[test]
        fn it_stays_among_what_was_seen(
            windows in prop::collection::vec((0_u64..100_000, 0_u64..2_000_000), 1..50),
        ) {
            let windows: Vec<_> = windows
                .into_iter()
                .map(|(requests, overhead)| second(requests, overhead))
                .collect();
            let most = windows
                .iter()
                .filter(|window| window.requests > 0)
                .map(|window| window.overhead.as_secs_f64() / window.requests as f64)
                .fold(0.0, f64::max);
            let learnt = after(&windows);
            prop_assert!((0.0..=most * (1.0 + 1e-9)).contains(&learnt), "{learnt}, {most}");
        }
    }
}
