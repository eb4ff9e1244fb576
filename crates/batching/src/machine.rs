//! What runs next, as a state machine without clock, threads or I/O.
//!
//! Rows are counted, not requests: a request has one or more rows, a batch has at most
//! [`Config::max_rows`] of them and a request is never split. A request with more rows than that is
//! refused, so that what a batch may cost stays under the cap.
//!
//! Requests run in the order of their arrival within one signature (requests of different
//! signatures can't share a batch). The signature whose oldest request waits longest goes first.
//!
//! A batch that failed is halved until the request that makes it fail is alone; its neighbours run
//! again without it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// When queued requests become a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// As soon as a worker is idle. While all are busy the next batch grows by itself.
    WorkConserving {
        /// Longest that an idle worker may hold a batch back where that raises throughput; zero
        /// never holds one back.
        max_linger: Duration,
    },
    /// When `max_rows` are there or the oldest request has waited this long, and a worker is idle.
    Window(Duration),
}

pub(crate) const AT_ONCE: Policy = Policy::WorkConserving {
    max_linger: Duration::ZERO,
};

/// Bounds of the batcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// When queued requests become a batch.
    pub policy: Policy,
    /// Most rows in one batch, and so in one request.
    pub max_rows: NonZeroUsize,
    /// Most rows that wait. An empty queue takes any request that one batch can hold, so a bound
    /// smaller than a request sheds early instead of refusing that request for ever.
    pub max_queue_rows: NonZeroUsize,
}

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
    /// By what batches have taken so far, the answer would come after the request's deadline.
    #[error("the answer would take {} ms, longer than the request has", expected.as_millis())]
    TooLate {
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
        /// Time after which it is worth trying again: 1 ms to 60 s.
        retry_after: Duration,
    },
    /// The request alone has more rows than one batch may have.
    #[error("the request has {rows} rows, one request may have {max}")]
    TooManyRows {
        /// Rows of the request.
        rows: usize,
        /// Most rows of one batch.
        max: usize,
    },
    /// [`Machine::close`] was called.
    #[error("the server is shutting down")]
    Closed,
}

/// Names a request from the push to the end of its life. Tickets grow in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Requests that ran together and failed may only run again with others of the same half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Half(u64);

/// A request in the queue or in a batch.
#[derive(Debug)]
pub struct Entry<K, T> {
    ticket: Ticket,
    signature: K,
    rows: NonZeroUsize,
    arrived: Instant,
    deadline: Instant,
    half: Option<Half>,
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

    /// Whether the request was in a batch that failed, and now runs again with a part of it.
    #[must_use]
    pub const fn ran_before(&self) -> bool {
        self.half.is_some()
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
}

/// What to do now.
#[derive(Debug)]
pub enum Step<K, T> {
    /// Run these together, oldest first, then call [`Machine::succeeded`] or [`Machine::failed`].
    Run(Vec<Entry<K, T>>),
    /// Tell these that their time is up; they have left the queue.
    Expired(Vec<Entry<K, T>>),
    /// Nothing, until a push, a finished batch or this instant.
    Wait(Option<Instant>),
    /// Closed, nothing waits and nothing runs: nothing will ever be to do again.
    Finished,
}

/// The queue, and what is known about running batches.
#[derive(Debug)]
pub struct Machine<K, T> {
    config: Config,
    workers: NonZeroUsize,
    waiting: BTreeMap<Ticket, Entry<K, T>>,
    deadlines: BTreeSet<(Instant, Ticket)>,
    waiting_rows: usize,
    running: usize,
    next_ticket: u64,
    next_half: u64,
    closed: bool,
}

impl<K: Clone + Eq + Hash, T> Machine<K, T> {
    /// An empty queue, and as many idle workers as batches can run at the same time.
    #[must_use]
    pub const fn new(config: Config, workers: NonZeroUsize) -> Self {
        Self {
            config,
            workers,
            waiting: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            waiting_rows: 0,
            running: 0,
            next_ticket: 0,
            next_half: 0,
            closed: false,
        }
    }

    /// Rows that wait now. May exceed [`Config::max_queue_rows`] for a moment by the rows of failed
    /// batches, which come back to the queue.
    #[must_use]
    pub const fn waiting_rows(&self) -> usize {
        self.waiting_rows
    }

    /// Queues a request.
    ///
    /// # Errors
    /// [`Rejection`], and nothing has changed.
    pub fn push(
        &mut self,
        now: Instant,
        signature: K,
        rows: NonZeroUsize,
        deadline: Instant,
        payload: T,
    ) -> Result<Ticket, Rejection> {
        if self.closed {
            return Err(Rejection::Closed);
        }
        if rows > self.config.max_rows {
            return Err(Rejection::TooManyRows {
                rows: rows.get(),
                max: self.config.max_rows.get(),
            });
        }
        let max = self.config.max_queue_rows.get();
        if self.waiting_rows > 0 && self.waiting_rows + rows.get() > max {
            return Err(Rejection::Overloaded {
                cause: Overload::QueueFull {
                    waiting: self.waiting_rows,
                    max,
                },
                retry_after: Duration::from_secs(1),
            });
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.enqueue(Entry {
            ticket,
            signature,
            rows,
            arrived: now,
            deadline,
            half: None,
            payload,
        });
        Ok(ticket)
    }

    /// Takes a request out of the queue. None when it no longer waits: it runs, or is over.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        self.dequeue(ticket).map(|entry| entry.payload)
    }

    /// From now on no window holds requests back: there will hardly be more to wait for.
    pub const fn flush(&mut self) {
        self.config.policy = AT_ONCE;
    }

    /// Refuses every further push. What waits still runs, as after [`Machine::flush`].
    pub const fn close(&mut self) {
        self.flush();
        self.closed = true;
    }

    /// What to do at `now`. To be called again after every push, cancel, close and finished batch,
    /// after each step other than [`Step::Wait`], and at the instant that [`Step::Wait`] names.
    pub fn poll(&mut self, now: Instant) -> Step<K, T> {
        let expired = self.take_expired(now);
        if !expired.is_empty() {
            return Step::Expired(expired);
        }
        let idle = self.running < self.workers.get();
        if idle && let Some(tickets) = self.next_batch(now) {
            self.running += 1;
            return Step::Run(
                tickets
                    .into_iter()
                    .filter_map(|ticket| self.dequeue(ticket))
                    .collect(),
            );
        }
        if self.closed && self.running == 0 && self.waiting.is_empty() {
            return Step::Finished;
        }
        let window_ends = match self.config.policy {
            Policy::Window(window) if idle => self
                .waiting
                .values()
                .next()
                .map(|oldest| oldest.arrived + window),
            Policy::Window(_) | Policy::WorkConserving { .. } => None,
        };
        let first_deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        Step::Wait(window_ends.into_iter().chain(first_deadline).min())
    }

    /// A batch ran well: its worker is idle.
    pub const fn succeeded(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// A batch failed: its worker is idle. A request that was alone comes back as the one to blame;
    /// others return to the queue in two halves that never run together again.
    pub fn failed(&mut self, mut batch: Vec<Entry<K, T>>) -> Option<Entry<K, T>> {
        self.running = self.running.saturating_sub(1);
        if batch.len() <= 1 {
            return batch.pop();
        }
        let second = batch.split_off(batch.len() / 2);
        for half in [batch, second] {
            let name = Half(self.next_half);
            self.next_half += 1;
            for entry in half {
                self.enqueue(Entry {
                    half: Some(name),
                    ..entry
                });
            }
        }
        None
    }

    fn enqueue(&mut self, entry: Entry<K, T>) {
        self.waiting_rows += entry.rows();
        self.deadlines.insert((entry.deadline, entry.ticket));
        self.waiting.insert(entry.ticket, entry);
    }

    fn dequeue(&mut self, ticket: Ticket) -> Option<Entry<K, T>> {
        let entry = self.waiting.remove(&ticket)?;
        self.waiting_rows -= entry.rows();
        self.deadlines.remove(&(entry.deadline, ticket));
        Some(entry)
    }

    fn take_expired(&mut self, now: Instant) -> Vec<Entry<K, T>> {
        let mut expired = Vec::new();
        while let Some(&(deadline, ticket)) = self.deadlines.first()
            && deadline <= now
        {
            expired.extend(self.dequeue(ticket));
        }
        expired
    }

    /// The requests of the next batch: of the groups that are ready the one with the oldest request.
    fn next_batch(&self, now: Instant) -> Option<Vec<Ticket>> {
        let any_is_ready = matches!(self.config.policy, Policy::WorkConserving { .. });
        let mut groups: Vec<Group<'_, K>> = Vec::new();
        for entry in self.waiting.values() {
            let known = groups
                .iter()
                .position(|group| group.half == entry.half && *group.signature == entry.signature);
            let group = match known {
                Some(index) => &mut groups[index],
                // Only the oldest request's group matters where every group is ready at once.
                None if !groups.is_empty() && any_is_ready => continue,
                None => groups.push_mut(Group::led_by(entry)),
            };
            group.add(entry.ticket, entry.rows(), self.config.max_rows.get());
            if group.full && any_is_ready {
                break;
            }
        }
        groups
            .into_iter()
            .find(|group| self.is_ready(group, now))
            .map(|group| group.tickets)
    }

    fn is_ready(&self, group: &Group<'_, K>, now: Instant) -> bool {
        match self.config.policy {
            Policy::WorkConserving { .. } => true,
            Policy::Window(window) => {
                group.full || group.half.is_some() || group.arrived + window <= now
            }
        }
    }
}

/// Requests that may share the next batch, as many as fit, oldest first.
struct Group<'a, K> {
    signature: &'a K,
    half: Option<Half>,
    arrived: Instant,
    tickets: Vec<Ticket>,
    rows: usize,
    /// The next request doesn't fit, so nothing behind it may overtake.
    full: bool,
}

impl<'a, K> Group<'a, K> {
    const fn led_by<T>(entry: &'a Entry<K, T>) -> Self {
        Self {
            signature: &entry.signature,
            half: entry.half,
            arrived: entry.arrived,
            tickets: Vec::new(),
            rows: 0,
            full: false,
        }
    }

    fn add(&mut self, ticket: Ticket, rows: usize, max_rows: usize) {
        if self.full || self.rows + rows > max_rows {
            self.full = true;
            return;
        }
        self.rows += rows;
        self.tickets.push(ticket);
        self.full = self.rows == max_rows;
    }
}

#[cfg(test)]
mod tests;
