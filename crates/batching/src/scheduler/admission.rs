//! Admission: which requests are queued.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::plan::delivery;
use super::state::Scheduler;
use crate::latency_model::LatencyEstimate;

/// Retry time before the first measurement.
const UNKNOWN_RETRY: Duration = Duration::from_secs(1);

/// Limits of the retry time. A shorter one isn't worth waiting for; after a longer one there may be more servers.
const MIN_RETRY: Duration = Duration::from_millis(1);
const MAX_RETRY: Duration = Duration::from_secs(60);

/// The cause of an overload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    /// The queued rows and this request's exceed the limit.
    #[error("the queue is full: {waiting} rows are queued, the maximum is {max}")]
    QueueFull {
        /// Queued rows.
        waiting: usize,
        /// Maximum queued rows.
        max: usize,
    },
    /// According to recent latencies, the response would miss the deadline.
    #[error("the response would take about {} ms, which exceeds the deadline", expected.as_millis())]
    TooLate {
        /// Time until the response.
        expected: Duration,
    },
    /// All workers have been busy for long, and the response would miss the latency objective
    /// ([`Objective`](super::Objective)).
    #[error("the response would take about {} ms in a sustained overload, which exceeds the latency objective", expected.as_millis())]
    Sustained {
        /// Time until the response.
        expected: Duration,
    },
}

/// Why a request was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The server is overloaded.
    #[error("overloaded: {cause}")]
    Overloaded {
        /// The cause.
        cause: Overload,
        /// Time after which half of the queued requests should be done; in a sustained overload all but those within
        /// the objective. From 1 ms to 60 s, and 1 s before the first measurement.
        retry_after: Duration,
    },
    /// The request has more rows than a batch may have, and batches are shared.
    #[error("the request has {rows} rows, the maximum is {max}")]
    TooManyRows {
        /// Rows of the request.
        rows: usize,
        /// Maximum rows of a batch.
        max: usize,
    },
    /// [`Scheduler::close`] was called.
    #[error("the server is shutting down")]
    Closed,
}

impl<K: Clone + Eq + Hash, T, S> Scheduler<K, T, S> {
    /// Checks whether a request may be queued.
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
        // With an empty queue, the response is as early as possible.
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

    /// Expected time until the response of a request that is pushed now, and the time that it needs with a margin.
    /// None if a worker is idle, or before the first measurement.
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
        // A queue that is a fifth shorter keeps the workers as busy, and a response that is late because of a low
        // estimate is lost work.
        let runs_safely = estimate.upper_bound(own).max(runs.saturating_add(runs / 4));
        let needed = wait
            .saturating_add(wait / 4)
            .saturating_add(runs_safely)
            .saturating_add(delivery(lifetime));
        Some((wait.saturating_add(runs), needed))
    }

    /// The batches and the rows that run before the batch of a request that is pushed now, and the rows of that batch.
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
        // It joins the last batch of its signature if there is room. So do later requests.
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

    /// Time until all queued and running requests are done.
    fn drained(&self, now: Instant) -> Option<Duration> {
        let waiting = self
            .estimate()?
            .minimum(self.queue.batches(), self.queue.rows());
        Some(self.shared(waiting.saturating_add(self.runs.left(now))))
    }

    /// Time that the workers together need for the work of one.
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
