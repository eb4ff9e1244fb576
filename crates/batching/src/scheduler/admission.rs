//! Which requests may wait.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::plan::delivery;
use super::state::Scheduler;
use crate::latency_model::LatencyEstimate;

/// What is said before anything is known about the time that batches take.
const UNKNOWN_RETRY: Duration = Duration::from_secs(1);

/// Bounds of what is said after. A shorter time isn't worth waiting for; after a longer one there
/// may be more servers.
const MIN_RETRY: Duration = Duration::from_millis(1);
const MAX_RETRY: Duration = Duration::from_secs(60);

/// What a request that comes too many runs into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    /// Waiting rows and this request's together are more than allowed.
    #[error("the queue is full: {waiting} rows wait, at most {max} may")]
    QueueFull {
        /// Rows that wait now.
        waiting: usize,
        /// Most rows that may wait.
        max: usize,
    },
    /// By what batches have taken lately, the answer would hardly come before the deadline.
    #[error("the answer would take about {} ms, and the request has no such time", expected.as_millis())]
    TooLate {
        /// Time until the answer would come.
        expected: Duration,
    },
    /// All workers have been busy for long, and the answer would come later than answers should then
    /// ([`Objective`](super::Objective)).
    #[error("the answer would take about {} ms, in an overload that has lasted for long", expected.as_millis())]
    Sustained {
        /// Time until the answer would come.
        expected: Duration,
    },
}

/// Why a request was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// More requests come than can be served.
    #[error("overloaded: {cause}")]
    Overloaded {
        /// What the request ran into.
        cause: Overload,
        /// Time after which half of what waits now should be done, and in a standing queue all but what is
        /// done within the objective: 1 ms to 60 s, and 1 s before any batch has been measured.
        retry_after: Duration,
    },
    /// The request alone has more rows than one batch may have, where batches are shared.
    #[error("the request has {rows} rows, one request may have {max}")]
    TooManyRows {
        /// Rows of the request.
        rows: usize,
        /// Most rows of one batch.
        max: usize,
    },
    /// [`Scheduler::close`] was called.
    #[error("the server is shutting down")]
    Closed,
}

impl<K: Clone + Eq + Hash, T, S> Scheduler<K, T, S> {
    /// Whether a request may wait.
    pub(super) fn admit(
        &self,
        now: Instant,
        signature: &K,
        rows: NonZeroUsize,
        deadline: Instant,
    ) -> Result<(), Rejection> {
        if self.closed {
            return Err(Rejection::Closed);
        }
        if rows > self.config.max_rows && !self.is_alone() {
            return Err(Rejection::TooManyRows {
                rows: rows.get(),
                max: self.config.max_rows.get(),
            });
        }
        let (waiting, max) = (self.queue.rows(), self.config.max_queue_rows.get());
        if waiting > 0 && waiting.saturating_add(rows.get()) > max {
            return Err(self.overloaded(now, Overload::QueueFull { waiting, max }));
        }
        let lifetime = deadline.saturating_duration_since(now);
        // With nothing before it but what runs, it is as early as it can be.
        let objective = self
            .objective()
            .filter(|latency| *latency < lifetime && waiting > 0);
        let time = objective.unwrap_or(lifetime);
        if let Some((expected, needed)) = self.expected(now, signature, rows.get(), time)
            && needed > time
        {
            let cause = if objective.is_some() {
                Overload::Sustained { expected }
            } else {
                Overload::TooLate { expected }
            };
            return Err(self.overloaded(now, cause));
        }
        Ok(())
    }

    /// Time until a request that is pushed now would be answered, and the time that it should have
    /// for that, if no worker is idle and anything has been measured.
    fn expected(
        &self,
        now: Instant,
        signature: &K,
        rows: usize,
        lifetime: Duration,
    ) -> Option<(Duration, Duration)> {
        if self.has_idle_worker() {
            return None;
        }
        let estimate = self.estimate()?;
        let (batches, ahead, own) = if self.is_alone() {
            (self.queue.batches(), self.queue.rows(), rows)
        } else {
            self.before(estimate, signature, rows, lifetime)
        };
        let wait = estimate.minimum(batches, ahead);
        let wait = self.shared(wait.saturating_add(self.runs.left(now)));
        let runs = estimate.minimum(1, own);
        // A queue a fifth shorter keeps the workers as busy, and an answer that is late because
        // the estimate was low is lost work.
        let runs_safely = estimate.upper_bound(own).max(runs.saturating_add(runs / 4));
        let needed = wait
            .saturating_add(wait / 4)
            .saturating_add(runs_safely)
            .saturating_add(delivery(lifetime));
        Some((wait.saturating_add(runs), needed))
    }

    /// Of what waits when a request is pushed: the batches and the rows that run before its own batch,
    /// and the rows of that.
    fn before(
        &self,
        estimate: LatencyEstimate,
        signature: &K,
        rows: usize,
        lifetime: Duration,
    ) -> (usize, usize, usize) {
        let full = self.full(Some(estimate), lifetime);
        let full = full.max(self.newest_full).max(rows);
        let (mut ahead, mut batches) = (self.queue.rows(), self.queue.batches());
        // It joins the last batch of its signature, if there is room; so do others after it.
        let mut own = rows;
        let last = self.queue.signature_rows(signature) % full;
        if last > 0 && last + rows <= full {
            ahead -= last;
            batches -= 1;
            own += last;
        }
        let own = own.max(self.newest_demand.min(full));
        (batches.max(ahead.div_ceil(full)), ahead, own)
    }

    /// Time until what waits and runs now is done.
    fn drained(&self, now: Instant) -> Option<Duration> {
        let waiting = self
            .estimate()?
            .minimum(self.queue.batches(), self.queue.rows());
        Some(self.shared(waiting.saturating_add(self.runs.left(now))))
    }

    /// What the workers together need for the work of one.
    fn shared(&self, work: Duration) -> Duration {
        work / u32::try_from(self.workers.get()).unwrap_or(u32::MAX)
    }

    fn overloaded(&self, now: Instant, cause: Overload) -> Rejection {
        let after = |drained: Duration| match (cause, self.objective()) {
            (Overload::Sustained { .. }, Some(latency)) => drained.saturating_sub(latency),
            _ => drained / 2,
        };
        let retry_after = self.drained(now).map_or(UNKNOWN_RETRY, after);
        let retry_after = retry_after.clamp(MIN_RETRY, MAX_RETRY);
        Rejection::Overloaded { cause, retry_after }
    }
}
