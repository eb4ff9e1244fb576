//! A request, as the machine knows it.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// Names a request from the push to the end of its life. Tickets grow in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// A request in the queue or in a batch.
#[derive(Debug)]
pub struct Entry<K, T> {
    pub(super) ticket: Ticket,
    pub(super) signature: K,
    pub(super) rows: NonZeroUsize,
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
    pub(super) ran_before: bool,
    /// What was pushed.
    pub payload: T,
}

impl<K, T> Entry<K, T> {
    /// The request's name.
    #[must_use]
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// The request's rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows.get()
    }

    /// When the request was pushed.
    #[must_use]
    pub const fn arrived(&self) -> Instant {
        self.arrived
    }

    /// Whether the request was in a batch whose outputs were not given, and now runs again.
    #[must_use]
    pub const fn ran_before(&self) -> bool {
        self.ran_before
    }

    /// When the request's answer is worth nothing any more.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What the request has in common with every other of its batch.
    #[must_use]
    pub const fn signature(&self) -> &K {
        &self.signature
    }

    /// Time that the request had when it was pushed.
    pub(super) fn lifetime(&self) -> Duration {
        self.deadline.saturating_duration_since(self.arrived)
    }
}
