//! The configuration of a batcher.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::overload::Objective;
use super::sentinel::Sentinel;

/// When queued requests become a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// As soon as a worker is idle. While all are busy, the next batch grows.
    WorkConserving {
        /// Maximum delay of a batch by an idle worker if that raises the throughput (see [`crate::linger`]). Zero
        /// disables delays.
        max_linger: Duration,
    },
    /// When `max_rows` are queued, or the oldest request has waited this long, and a worker is idle.
    Window(Duration),
}

impl Policy {
    /// Batches are never delayed.
    pub const AT_ONCE: Self = Self::WorkConserving {
        max_linger: Duration::ZERO,
    };
}

/// Which requests may share a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// None: each batch is one request, and is never delayed.
    Alone,
    /// Requests of one signature, without checks.
    Unchecked,
    /// Requests of one signature, until a check finds a difference.
    Checked(Sentinel),
}

/// The limits and policies of a batcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// When queued requests become a batch.
    pub policy: Policy,
    /// Which requests may share a batch.
    pub sharing: Sharing,
    /// Maximum rows of a batch, and so of a request. Without effect if each request runs alone.
    pub max_rows: NonZeroUsize,
    /// Maximum queued rows. An empty queue accepts any request that fits into one batch, so a limit below a request's
    /// rows doesn't reject that request always.
    pub max_queue_rows: NonZeroUsize,
    /// Latency objective in a sustained overload. Without one, requests wait until their deadlines.
    pub objective: Option<Objective>,
}
