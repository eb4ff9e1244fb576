//! The active reconciles, and waiting until there are few of them.

use std::{collections::HashSet, hash::Hash};

use tokio::sync::watch;

/// Objects whose reconcile is active or about to begin. Clones share them.
#[derive(Clone)]
pub(crate) struct ActiveReconciles<T>(watch::Sender<HashSet<T>>);

impl<T> Default for ActiveReconciles<T> {
    fn default() -> Self {
        Self(watch::Sender::new(HashSet::new()))
    }
}

impl<T: Eq + Hash> ActiveReconciles<T> {
    /// The reconcile of an object is about to begin, or begins.
    pub(crate) fn begin(&self, object: T) {
        self.0.send_if_modified(|objects| objects.insert(object));
    }

    /// The reconcile of an object is over.
    pub(crate) fn end(&self, object: &T) {
        self.0.send_if_modified(|objects| objects.remove(object));
    }

    /// Waits until at most `max` reconciles are active.
    pub(crate) async fn at_most(&self, max: usize) {
        // The sender is `self`.
        let _ = self
            .0
            .subscribe()
            .wait_for(|objects| objects.len() <= max)
            .await;
    }
}
