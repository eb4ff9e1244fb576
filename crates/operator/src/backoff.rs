//! How long to wait before an object is tried again, each object for itself.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Wait after the first failure.
const FIRST: Duration = Duration::from_millis(500);

/// Longest wait: a fault that has passed is noticed within this time even if nothing changes.
const LONGEST: Duration = Duration::from_secs(60);

/// The waits of all objects that are to be tried again.
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
    /// The wait after one more failure: twice the last one, plus up to as much again by chance, so
    /// that objects that failed together aren't tried together.
    pub(crate) fn failed(&self, object: K) -> Duration {
        let mut by_object = self
            .by_object
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waits = by_object.entry(object).or_insert_with(|| {
            ExponentialBuilder::default()
                .with_min_delay(FIRST)
                .with_max_delay(LONGEST / 2)
                .without_max_times()
                .with_jitter()
                .build()
        });
        waits.next().unwrap_or(LONGEST)
    }

    /// Forgets an object's failures: it succeeded, is gone, or isn't tried again.
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
    fn waits_grow_up_to_the_bound_each_object_for_itself() {
        let backoffs = Backoffs::default();
        let waits: Vec<Duration> = (0..20).map(|_| backoffs.failed("a")).collect();
        assert!(waits[0] >= FIRST && waits[0] <= 2 * FIRST, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
        assert!(waits[19] >= LONGEST / 2, "{waits:?}");
        assert!(backoffs.failed("b") <= 2 * FIRST);
        backoffs.forget(&"a");
        assert!(backoffs.failed("a") <= 2 * FIRST);
    }
}
