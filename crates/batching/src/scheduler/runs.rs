//! The batches that run.

use std::time::{Duration, Instant};

use super::entry::{Entry, Ticket};
use crate::cancel::CancelHandle;

/// Names a batch while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId(u64);

#[derive(Debug)]
pub(super) struct Run {
    id: RunId,
    /// Whoever still waits for an answer, in order.
    clients: Vec<Ticket>,
    ends: Instant,
    /// The last of the clients' deadlines.
    deadline: Instant,
    stop: CancelHandle,
}

impl Run {
    pub(super) const fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Those that somebody still waits for, to run again.
    pub(super) fn awaited<K, T>(
        &self,
        batch: Vec<Entry<K, T>>,
    ) -> impl Iterator<Item = Entry<K, T>> {
        let is_awaited = |entry: &Entry<K, T>| self.clients.binary_search(&entry.ticket).is_ok();
        let awaited = batch.into_iter().filter(is_awaited);
        awaited.map(|entry| Entry {
            ran_before: true,
            ..entry
        })
    }
}

/// The batches that run, and a check that must not be stopped: at most one for each worker.
#[derive(Debug, Default)]
pub(super) struct Runs {
    list: Vec<Run>,
    next: u64,
}

impl Runs {
    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    /// A batch begins that should have ended by then, and is of no use after the deadline.
    pub(super) fn begin(
        &mut self,
        clients: Vec<Ticket>,
        ends: Instant,
        deadline: Instant,
    ) -> (RunId, CancelHandle) {
        let (id, stop) = (RunId(self.next), CancelHandle::default());
        self.next += 1;
        self.list.push(Run {
            id,
            clients,
            ends,
            deadline,
            stop: stop.clone(),
        });
        (id, stop)
    }

    pub(super) fn end(&mut self, id: RunId) -> Option<Run> {
        let index = self.list.iter().position(|run| run.id == id)?;
        Some(self.list.swap_remove(index))
    }

    /// A client doesn't wait for its answer any more. Nothing when it isn't in a running batch; the
    /// inner value when it was the last of its batch.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Option<CancelHandle>> {
        self.list.iter_mut().find_map(|run| {
            let index = run.clients.binary_search(&ticket).ok()?;
            run.clients.remove(index);
            Some(run.clients.is_empty().then(|| run.stop.clone()))
        })
    }

    /// What all running batches together have still to do. One that is late may end any moment.
    pub(super) fn left(&self, now: Instant) -> Duration {
        let left = |run: &Run| run.ends.saturating_duration_since(now);
        self.list.iter().map(left).sum()
    }

    /// The last of all deadlines.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.list.iter().map(|run| run.deadline).max()
    }

    /// No run is known any more.
    pub(super) fn forget(&mut self) {
        self.list.clear();
    }
}
