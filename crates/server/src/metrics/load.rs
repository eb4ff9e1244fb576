//! What requests take of the pod besides the model, and what the pod has.
//!
//! Reading requests and writing answers takes processors, too, and for a small model more than the
//! model does. What it takes is measured: the processor time of the threads that do it, over the
//! requests that arrived meanwhile, refused ones included.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use springtide_batching::PodCapacity;

/// Part of the pod's processors from which on a window shows how much requests take. Below, what goes
/// on without any request is too large a part of it.
const ENOUGH: f64 = 0.1;

/// What a window counts, next to those before.
const NEWEST: f64 = 0.5;

/// Some time in which requests arrived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Requests that arrived.
    pub requests: u64,
    /// Processor time that went to requests, apart from the model.
    pub overhead: Duration,
    /// Time that passed.
    pub elapsed: Duration,
    /// Processors that the pod may use.
    pub processors: f64,
}

/// Seconds of a processor that a request takes apart from the model, after one more window. What goes on
/// without requests only makes them look more expensive than they are: so each window can lower the
/// figure, and only those with enough work can raise it.
fn learn(before: f64, window: &Window) -> f64 {
    if window.requests == 0 {
        return before;
    }
    let took = window.overhead.as_secs_f64();
    let each = took / window.requests as f64;
    let enough = window.elapsed.as_secs_f64() * window.processors * ENOUGH;
    if each < before {
        before + (each - before) * NEWEST
    } else if took < enough {
        before
    } else if before == 0.0 {
        each
    } else {
        before + (each - before) * NEWEST
    }
}

/// What is known of the pod, for the threads that price requests. Without locks.
#[derive(Debug)]
pub struct PodLoad {
    requests: AtomicU64,
    overhead: Number,
    processors: Number,
}

impl PodLoad {
    /// A pod with so many processors, of whose requests nothing is known.
    pub(super) fn new(processors: f64) -> Self {
        Self {
            requests: AtomicU64::default(),
            overhead: Number::default(),
            processors: Number::new(processors),
        }
    }

    /// A request arrived, of whatever end.
    pub(super) fn arrived(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that ever arrived.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Takes in what a window has shown. To be called by one thread only.
    pub fn learn(&self, window: &Window) {
        self.processors.set(window.processors);
        self.overhead.set(learn(self.overhead.get(), window));
    }

    pub(super) fn of(&self, workers: NonZeroUsize) -> PodCapacity {
        PodCapacity {
            workers,
            processors: self.processors.get(),
            overhead: self.overhead.get(),
        }
    }
}

/// A number that threads share.
#[derive(Debug, Default)]
pub(super) struct Number(AtomicU64);

impl Number {
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

    /// A second of a pod with two processors.
    fn second(requests: u64, microseconds: u64) -> Window {
        Window {
            requests,
            overhead: Duration::from_micros(microseconds),
            elapsed: Duration::from_secs(1),
            processors: 2.0,
        }
    }

    fn after(windows: &[Window]) -> f64 {
        windows.iter().fold(0.0, learn)
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
