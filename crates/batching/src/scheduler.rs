//! The scheduler: which requests run next, as a state machine without clock, threads or I/O.
//!
//! Limits count rows. A request has one or more rows, a batch has at most [`Config::max_rows`] of them, and a request
//! is never split. A request with more rows is rejected, so the cost of a batch has a limit.
//!
//! If the responses of a model depend on other requests in the batch, each request runs alone, whatever its rows
//! ([`Sharing::Alone`]). This may be discovered while others share batches: [`Scheduler::run_alone`] is permanent, and
//! requests whose shared batch ends later run again ([`sentinel`] finds such models).
//!
//! Requests of one signature run in the order of their arrival; requests of different signatures can't share a batch.
//! The signature with the longest waiting request is first.
//!
//! A failed batch is halved until the request that fails is alone. The others run again without it.
//!
//! # Deadlines
//!
//! The latency of batches is learnt while they run ([`crate::latency_model`]), also from those that were cancelled at
//! their deadlines. With it
//! - a push is rejected if its response would be too late, while a retry at another server is still worthwhile;
//! - a request that has become too late for its batch is dropped before the run. If more requests wait than one batch
//!   holds, that batch is assumed to be full: small batches for requests close to their deadlines would make all
//!   others late. If all fit into one batch, it runs with fewer rows rather than past a deadline;
//! - a batch has at most the rows that run within half of the initial time of its requests. The other half is for the
//!   preceding batch.
//!
//! In a sustained overload, an [`Objective`] replaces the deadline by a shorter time, for pushes and for batch sizes.
//!
//! Responses must arrive in time, not almost. Estimates have a margin for slow batches
//! ([`LatencyEstimate::upper_bound`](crate::latency_model::LatencyEstimate::upper_bound)) and for the delivery to the
//! client.
//!
//! Estimates can be wrong, and must not reject requests forever. So an idle worker takes any request. A request that
//! had less initial time than the estimate of its own run is exempt: it runs, and its latency is measured. Before the
//! first measurement only the limit of rows holds, and an estimate from a single batch drops nothing.

mod admission;
mod checks;
mod config;
mod entry;
mod overload;
mod plan;
mod queue;
mod runs;
pub mod sentinel;
mod state;

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

pub use admission::{Overload, Rejection};
pub use checks::CheckTask;
pub use config::{Config, Policy, Sharing};
pub use entry::{Entry, Ticket};
pub use overload::Objective;
pub use runs::RunId;
pub use state::Scheduler;

use crate::cancel::CancelHandle;
use crate::latency_model::BatchLatency;
use crate::linger;
use plan::Plan;
use queue::LaneId;
use sentinel::SentinelState;

/// Requests that run together, oldest first.
#[derive(Debug)]
pub struct Batch<K, T> {
    /// Identifies the run when it ends.
    pub run: RunId,
    /// The requests.
    pub entries: Vec<Entry<K, T>>,
    /// Cancelled when [`Scheduler::cancel`] says so.
    pub cancel: CancelHandle,
}

/// The next action.
#[derive(Debug)]
pub enum Action<K, T, S> {
    /// Run these, then call [`Scheduler::succeeded`], [`Scheduler::failed`], [`Scheduler::stopped`] or
    /// [`Scheduler::skipped`].
    Run(Batch<K, T>),
    /// Run this request alone and compare, then call [`Scheduler::checked`].
    Check(CheckTask<S>),
    /// Inform these requests that their deadline has passed, or will. They have left the queue.
    Expired(Vec<Entry<K, T>>),
    /// Wait for a push, a cancel, a finished batch, or this instant.
    Wait(Option<Instant>),
    /// Closed, with nothing queued or running: there is no further action.
    Finished,
}

/// What happens to the outputs of a completed batch.
#[derive(Debug)]
pub enum Outputs<K, T> {
    /// The requests get their outputs.
    Give {
        /// The requests.
        batch: Vec<Entry<K, T>>,
        /// The request to pass to [`Scheduler::keep`], with its output.
        keep: Option<usize>,
    },
    /// No output is used: requests shared the batch and must not any more. They are queued again.
    Drop,
}

/// The state of a request when it was cancelled.
#[derive(Debug)]
pub enum Cancelled<K, T> {
    /// It was queued, and has left the queue.
    Waiting(Entry<K, T>),
    /// It is in a running batch. With the handle that cancels the batch if no other client waits for it.
    Running(Option<CancelHandle>),
    /// It is over.
    Over,
}

impl<K: Clone + Eq + Hash, T, S> Scheduler<K, T, S> {
    /// Queues a request.
    ///
    /// # Errors
    /// A [`Rejection`]: the request isn't queued.
    pub fn push(
        &mut self,
        now: Instant,
        signature: K,
        rows: NonZeroUsize,
        deadline: Instant,
        payload: T,
    ) -> Result<Ticket, Rejection> {
        if let Some(overload) = &mut self.overload {
            overload.update(now);
        }
        self.admit(now, &signature, rows, deadline)?;
        self.returns.arrived(now);
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.queue.push(Entry {
            ticket,
            signature,
            rows,
            arrived: now,
            deadline,
            ran_before: false,
            payload,
        });
        Ok(ticket)
    }

    /// Cancels a request: its client has disconnected.
    pub fn cancel(&mut self, ticket: Ticket) -> Cancelled<K, T> {
        if let Some(entry) = self.queue.remove(ticket) {
            return Cancelled::Waiting(entry);
        }
        match self.runs.leave(ticket) {
            Some(cancel) => Cancelled::Running(cancel),
            None => Cancelled::Over,
        }
    }

    /// Rejects every further push. Queued requests still run, as after [`Scheduler::flush`]; there are no more checks.
    /// Returns the handle of a running check.
    pub fn close(&mut self) -> Option<CancelHandle> {
        self.flush();
        self.closed = true;
        self.watch
            .take()
            .and_then(SentinelState::into_cancel_handle)
    }

    /// Closes, drops queued requests and forgets running batches, because workers are lost.
    pub fn abandon(&mut self) -> Vec<Entry<K, T>> {
        self.close();
        self.runs.forget();
        self.queue.take_all()
    }

    /// The action at `now`. To be called again after every push while a worker is idle, after every cancel, flush,
    /// close and finished batch, after each action other than [`Action::Wait`], and at the instant of
    /// [`Action::Wait`].
    pub fn poll(&mut self, now: Instant) -> Action<K, T, S> {
        let expired = self.queue.take_expired(now);
        if !expired.is_empty() {
            return Action::Expired(expired);
        }
        let mut held_until = None;
        if self.has_idle_worker() {
            if let Some(check) = self.check_overdue(now) {
                return Action::Check(check);
            }
            match self.choose(now) {
                Choice::Run(lane) => return self.run(lane, now),
                Choice::Hold(until) => held_until = Some(until),
                Choice::Nothing => {}
            }
        }
        if self.closed && self.runs.len() == 0 && self.queue.is_empty() {
            return Action::Finished;
        }
        let mut check_starts = None;
        if self.has_idle_worker() {
            if self.queue.is_empty() {
                if let Some(overload) = &mut self.overload {
                    overload.idle(now);
                }
                if let Some(check) = self.check_idle(now) {
                    return Action::Check(check);
                }
            }
            check_starts = self.check_starts();
        }
        let first_deadline = self.queue.first_deadline();
        let instants = [held_until, check_starts, first_deadline];
        Action::Wait(instants.into_iter().flatten().min())
    }

    /// A batch completed: its worker is idle.
    pub fn succeeded(
        &mut self,
        now: Instant,
        run: RunId,
        measured: BatchLatency,
        batch: Vec<Entry<K, T>>,
    ) -> Outputs<K, T> {
        // None if runs were forgotten: there are no clients.
        let run = self.runs.end(run);
        if run.is_some() {
            self.latency_model.observe(measured);
        }
        if batch.len() > 1 && self.is_alone() {
            if let Some(run) = run {
                for entry in run.awaited(batch) {
                    self.queue.push(entry);
                }
            }
            return Outputs::Drop;
        }
        if let Some(run) = run
            && let Some(longest) = self.longest_linger()
        {
            self.returns.answered(now, run.clients(), longest);
        }
        let keep = self.choose_kept(now, batch.len());
        Outputs::Give { batch, keep }
    }

    /// A batch failed: its worker is idle. A single request is returned as the cause. Others are queued again in two
    /// halves that never share a batch. Requests without a client are dropped.
    pub fn failed(&mut self, run: RunId, mut batch: Vec<Entry<K, T>>) -> Option<Entry<K, T>> {
        let run = self.runs.end(run)?;
        if batch.len() <= 1 {
            return batch.pop();
        }
        let second = batch.split_off(batch.len() / 2);
        for half in [batch, second] {
            let again: Vec<_> = run.awaited(half).collect();
            if !again.is_empty() {
                self.queue.push_half(again);
            }
        }
        None
    }

    /// A batch with these rows was cancelled after this time: its worker is idle.
    pub fn stopped(&mut self, run: RunId, rows: usize, after: Duration) {
        if self.runs.end(run).is_some() {
            let took = after;
            self.latency_model
                .observe_cancelled(BatchLatency { rows, took });
        }
    }

    /// A batch was skipped because it had no clients: its worker is idle.
    pub fn skipped(&mut self, run: RunId) {
        self.runs.end(run);
    }

    fn choose(&mut self, now: Instant) -> Choice {
        let Some((oldest, arrived)) = self.queue.oldest() else {
            self.held_since = None;
            return Choice::Nothing;
        };
        match self.config.policy {
            Policy::Window(window) if arrived + window > now => self
                .queue
                .oldest_complete()
                .map_or(Choice::Hold(arrived + window), Choice::Run),
            Policy::WorkConserving { .. } => {
                self.linger(now).map_or(Choice::Run(oldest), Choice::Hold)
            }
            Policy::Window(_) => Choice::Run(oldest),
        }
    }

    fn longest_linger(&self) -> Option<Duration> {
        match self.config.policy {
            // With several workers, a returning client often finds another one idle.
            Policy::WorkConserving { max_linger } if self.workers == NonZeroUsize::MIN => {
                linger::longest(self.estimate(), max_linger)
            }
            Policy::WorkConserving { .. } | Policy::Window(_) => None,
        }
    }

    /// The instant until which the next batch is delayed, if that is worthwhile.
    fn linger(&mut self, now: Instant) -> Option<Instant> {
        let worth_it = self.worth_holding(now);
        if worth_it.is_none() {
            self.held_since = None;
        }
        let (until, longest) = worth_it?;
        let since = *self.held_since.get_or_insert(now);
        let until = until.min(since + longest);
        (until > now).then_some(until)
    }

    fn worth_holding(&mut self, now: Instant) -> Option<(Instant, Duration)> {
        if self.queue.oldest_complete().is_some() || self.queue.only_lane().is_none() {
            return None;
        }
        let longest = self.longest_linger()?;
        let (missing, until) = self.returns.expected(now)?;
        linger::saves(self.estimate(), self.queue.rows() + missing).then_some((until, longest))
    }

    fn run(&mut self, lane: LaneId, now: Instant) -> Action<K, T, S> {
        let Plan {
            tickets,
            full,
            too_late,
        } = self.plan(lane, now);
        if !too_late.is_empty() {
            return Action::Expired(self.queue.take(lane, &too_late));
        }
        self.held_since = None;
        self.newest_full = full;
        self.newest_demand = self.queue.lane_rows(lane);
        let entries = self.queue.take(lane, &tickets);
        let rows = entries.iter().map(Entry::rows).sum();
        let takes = self
            .estimate()
            .map_or(Duration::ZERO, |estimate| estimate.upper_bound(rows));
        let deadline = entries.iter().map(Entry::deadline).max().unwrap_or(now);
        let (run, cancel) = self.runs.begin(tickets, now + takes, deadline);
        self.note_busy(now);
        Action::Run(Batch {
            run,
            entries,
            cancel,
        })
    }
}

enum Choice {
    Run(LaneId),
    Hold(Instant),
    Nothing,
}

#[cfg(test)]
mod tests;
