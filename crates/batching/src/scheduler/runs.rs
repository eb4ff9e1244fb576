//! The running batches.

use std::time::{Duration, Instant};

use super::entry::{Entry, Ticket};
use crate::cancel::CancelHandle;

/// Identifies a running batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId(u64);

#[derive(Debug)]
pub(super) struct Run {
    id: RunId,
    /// Requests with a client, in order.
    clients: Vec<Ticket>,
    ends: Instant,
    /// The latest deadline of the requests.
    deadline: Instant,
    cancel: CancelHandle,
}

impl Run {
    pub(super) const fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The requests that still have a client, to run again.
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

/// The running batches, and an overdue check: at most one per worker.
#[derive(Debug, Default)]
pub(super) struct Runs {
    list: Vec<Run>,
    next: u64,
}

impl Runs {
    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    /// A batch begins. `ends` is its expected end, and after `deadline` it is useless.
    pub(super) fn begin(
        &mut self,
        clients: Vec<Ticket>,
        ends: Instant,
        deadline: Instant,
    ) -> (RunId, CancelHandle) {
        let (id, cancel) = (RunId(self.next), CancelHandle::default());
        self.next += 1;
        self.list.push(Run {
            id,
            clients,
            ends,
            deadline,
            cancel: cancel.clone(),
        });
        (id, cancel)
    }

    pub(super) fn end(&mut self, id: RunId) -> Option<Run> {
        let index = self.list.iter().position(|run| run.id == id)?;
        Some(self.list.swap_remove(index))
    }

    /// A client has left. None if its request isn't in a running batch; the inner handle if it was the last client of
    /// its batch.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Option<CancelHandle>> {
        self.list.iter_mut().find_map(|run| {
            let index = run.clients.binary_search(&ticket).ok()?;
            run.clients.remove(index);
            Some(run.clients.is_empty().then(|| run.cancel.clone()))
        })
    }

    /// Expected remaining time of all running batches together. A batch past its expected end may end at any moment.
    pub(super) fn left(&self, now: Instant) -> Duration {
        let left = |run: &Run| run.ends.saturating_duration_since(now);
        self.list.iter().map(left).sum()
    }

    /// The latest deadline.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.list.iter().map(|run| run.deadline).max()
    }

    /// Forgets all runs.
    pub(super) fn forget(&mut self) {
        self.list.clear();
    }
}
