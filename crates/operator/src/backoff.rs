//! Backoff before an object is retried, for each object separately.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Delay after the first failure.
const MIN_DELAY: Duration = Duration::from_millis(500);

/// Maximum delay: the end of a fault is noticed within this time.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// The backoffs of all objects that are to be retried.
#[derive(Debug)]
pub(crate) struct Backoffs<K> {
    by_object: Mutex<HashMap<K, ExponentialBackoff>>,
}

impl<K> Default for Backoffs<K> {
    fn default() -> Self {
        Self {
            by_object: Mutex::default(),
        }
    }
}

impl<K: Hash + Eq> Backoffs<K> {
    /// The delay after one more failure: twice the last one, plus a random part of up to as much. Objects that failed
    /// together are then not retried together.
    pub(crate) fn failed(&self, object: K) -> Duration {
        let mut by_object = self
            .by_object
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waits = by_object.entry(object).or_insert_with(|| {
            ExponentialBuilder::default()
                .with_min_delay(MIN_DELAY)
                .with_max_delay(MAX_DELAY / 2)
                .without_max_times()
                .with_jitter()
                .build()
        });
        waits.next().unwrap_or(MAX_DELAY)
    }

    /// Resets the backoff of an object that succeeded, is gone, or isn't retried.
    pub(crate) fn forget(&self, object: &K) {
        self.by_object
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_maximum_separately_for_each_object() {
        let backoffs = Backoffs::default();
        let waits: Vec<Duration> = (0..20).map(|_| backoffs.failed("a")).collect();
        assert!(
            waits[0] >= MIN_DELAY && waits[0] <= 2 * MIN_DELAY,
            "{waits:?}"
        );
        assert!(waits.iter().all(|wait| *wait <= MAX_DELAY), "{waits:?}");
        assert!(waits[19] >= MAX_DELAY / 2, "{waits:?}");
        assert!(backoffs.failed("b") <= 2 * MIN_DELAY);
        backoffs.forget(&"a");
        assert!(backoffs.failed("a") <= 2 * MIN_DELAY);
    }
}
