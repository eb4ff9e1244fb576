//! What a batcher is told.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::overload::Objective;
use super::sentinel::Sentinel;

/// When queued requests become a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// As soon as a worker is idle. While all are busy the next batch grows by itself.
    WorkConserving {
        /// Longest that an idle worker may hold a batch back where that raises throughput
        /// ([`crate::linger`] says where); zero never holds one back.
        max_linger: Duration,
    },
    /// When `max_rows` are there or the oldest request has waited this long, and a worker is idle.
    Window(Duration),
}

impl Policy {
    /// Nothing is ever held back.
    pub const AT_ONCE: Self = Self::WorkConserving {
        max_linger: Duration::ZERO,
    };
}

/// Which requests may run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Each batch is one request, whatever its rows. Nothing is ever held back.
    Alone,
    /// Those of one signature, and nothing is checked.
    Unchecked,
    /// Those of one signature, until a check shows that this changes answers.
    Checked(Sentinel),
}

/// Bounds of the batcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// When queued requests become a batch.
    pub policy: Policy,
    /// Which requests may run together.
    pub sharing: Sharing,
    /// Most rows in one batch, and so in one request. No bound where each request runs alone.
    pub max_rows: NonZeroUsize,
    /// Most rows that wait. An empty queue takes any request that one batch can hold, so a bound
    /// smaller than a request sheds early instead of always refusing that request.
    pub max_queue_rows: NonZeroUsize,
    /// Without one, requests wait for as long as their deadlines allow.
    pub objective: Option<Objective>,
}
