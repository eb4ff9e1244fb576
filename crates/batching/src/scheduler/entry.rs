//! A request in the scheduler.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// Identifies a request from the push to its end. Tickets increase in the order of arrival.
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
    /// The payload of the push.
    pub payload: T,
}

impl<K, T> Entry<K, T> {
    /// The ticket of the request.
    #[must_use]
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// The rows of the request.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows.get()
    }

    /// The time of the push.
    #[must_use]
    pub const fn arrived(&self) -> Instant {
        self.arrived
    }

    /// Whether the request was in a batch whose outputs were dropped, and now runs again.
    #[must_use]
    pub const fn ran_before(&self) -> bool {
        self.ran_before
    }

    /// The deadline: a later response is useless.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The signature, which all requests of a batch have in common.
    #[must_use]
    pub const fn signature(&self) -> &K {
        &self.signature
    }

    /// Time from the push to the deadline.
    pub(super) fn lifetime(&self) -> Duration {
        self.deadline.saturating_duration_since(self.arrived)
    }
}
