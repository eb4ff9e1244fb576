//! What runs next, as a state machine without clock, threads or I/O.
//!
//! Rows are counted, not requests: a request has one or more rows, a batch has at most
//! [`Config::max_rows`] of them and a request is never split. A request with more rows than that is
//! refused, so that what a batch may cost stays under the cap.
//!
//! A model whose answers depend on their neighbours runs each request alone, whatever its rows
//! ([`Sharing::Alone`]). That may turn out while others share batches: [`Scheduler::run_alone`] is for
//! ever, and what shared a batch that ends after it runs again ([`sentinel`] finds such models).
//!
//! Requests run in the order of their arrival within one signature (requests of different
//! signatures can't share a batch). The signature whose oldest request waits longest goes first.
//!
//! A batch that failed is halved until the request that makes it fail is alone; its neighbours run
//! again without it.
//!
//! # Deadlines
//!
//! What batches take is learnt while they run ([`crate::latency_model`]), from those that were stopped at
//! their deadlines too. With it
//! - a push whose answer would come too late is refused while a retry elsewhere is still worth it;
//! - a request that has become too late for its batch is dropped before the run. Where more waits
//!   than one batch holds, that batch is taken as full: small batches, run for requests at the edge
//!   of their deadlines, would make all others late too. Where all fits into one batch, the batch
//!   rather runs with fewer rows than past a deadline;
//! - a batch has no more rows than are done in half of the time that its requests had from the start:
//!   the other half goes by while the batch before runs.
//!
//! Under an [`Objective`] pushes are refused, and batches kept small, by a shorter time once the queue is
//! standing.
//!
//! Answers are to arrive in time, not almost: room is left for batches that take longer than expected
//! ([`LatencyEstimate::upper_bound`](crate::latency_model::LatencyEstimate::upper_bound)), and a little for the way to the client.
//!
//! Estimates can be wrong, and must not refuse for ever. So an idle worker takes any request,
//! whatever the estimate, and a request that had less time from the start than its run alone is said
//! to take is not held to that: it runs, and what it takes is measured. Before anything has been
//! measured only the bound on rows holds, and what one batch alone has shown drops nothing.

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
    /// Names the run when it ends.
    pub run: RunId,
    /// The requests.
    pub entries: Vec<Entry<K, T>>,
    /// To be requested when [`Scheduler::cancel`] says so.
    pub stop: CancelHandle,
}

/// What to do now.
#[derive(Debug)]
pub enum Action<K, T, S> {
    /// Run these, then call [`Scheduler::succeeded`], [`Scheduler::failed`], [`Scheduler::stopped`] or
    /// [`Scheduler::skipped`].
    Run(Batch<K, T>),
    /// Run this request alone and compare, then call [`Scheduler::checked`].
    Check(CheckTask<S>),
    /// Tell these that their time is up, or won't suffice; they have left the queue.
    Expired(Vec<Entry<K, T>>),
    /// Nothing, until a push, a cancel, a finished batch or this instant.
    Wait(Option<Instant>),
    /// Closed, nothing waits and nothing runs: nothing will ever be to do again.
    Finished,
}

/// What becomes of the outputs of a batch that ran well.
#[derive(Debug)]
pub enum Outputs<K, T> {
    /// Its requests are answered with them.
    Give {
        /// The requests.
        batch: Vec<Entry<K, T>>,
        /// The one to hand to [`Scheduler::keep`], with its output.
        keep: Option<usize>,
    },
    /// None is given: requests shared the batch, and must not any more. They wait again.
    Drop,
}

/// Where a request was when it was cancelled.
#[derive(Debug)]
pub enum Cancelled<K, T> {
    /// In the queue, which it has left.
    Waiting(Entry<K, T>),
    /// In a running batch. When it was the last there that anybody waits for, the batch is to be
    /// stopped with this.
    Running(Option<CancelHandle>),
    /// Nowhere: it is over.
    Over,
}

impl<K: Clone + Eq + Hash, T, S> Scheduler<K, T, S> {
    /// Queues a request.
    ///
    /// # Errors
    /// [`Rejection`], and the request is nowhere.
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

    /// Nobody waits for the request any more.
    pub fn cancel(&mut self, ticket: Ticket) -> Cancelled<K, T> {
        if let Some(entry) = self.queue.remove(ticket) {
            return Cancelled::Waiting(entry);
        }
        match self.runs.leave(ticket) {
            Some(stop) => Cancelled::Running(stop),
            None => Cancelled::Over,
        }
    }

    /// Refuses every further push. What waits still runs, as after [`Scheduler::flush`]; nothing more is
    /// checked. Gives what ends a check that runs.
    pub fn close(&mut self) -> Option<CancelHandle> {
        self.flush();
        self.closed = true;
        self.watch.take().and_then(SentinelState::give_up)
    }

    /// Closes, gives up what waits and forgets what runs: workers are lost.
    pub fn abandon(&mut self) -> Vec<Entry<K, T>> {
        self.close();
        self.runs.forget();
        self.queue.take_all()
    }

    /// What to do at `now`. To be called again after every push while a worker is idle, after every
    /// cancel, flush, close and finished batch, after each step other than [`Action::Wait`], and at
    /// the instant that [`Action::Wait`] names.
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

    /// A batch ran well: its worker is idle.
    pub fn succeeded(
        &mut self,
        now: Instant,
        run: RunId,
        measured: BatchLatency,
        batch: Vec<Entry<K, T>>,
    ) -> Outputs<K, T> {
        // None when runs were forgotten: then nobody waits.
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

    /// A batch failed: its worker is idle. A request that was alone comes back as the one to blame;
    /// others return to the queue in two halves that never run together again. Those that nobody
    /// waits for are over.
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

    /// A batch with so many rows was stopped after this time, because nobody waits for it: its worker
    /// is idle.
    pub fn stopped(&mut self, run: RunId, rows: usize, after: Duration) {
        if self.runs.end(run).is_some() {
            let took = after;
            self.latency_model
                .observe_cancelled(BatchLatency { rows, took });
        }
    }

    /// A batch didn't run at all, because nobody waits for it: its worker is idle.
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
            // With several, who comes back finds another worker idle as often as not.
            Policy::WorkConserving { max_linger } if self.workers == NonZeroUsize::MIN => {
                linger::longest(self.estimate(), max_linger)
            }
            Policy::WorkConserving { .. } | Policy::Window(_) => None,
        }
    }

    /// Until when it is worth it to hold the next batch back.
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
        let (run, stop) = self.runs.begin(tickets, now + takes, deadline);
        self.note_busy(now);
        Action::Run(Batch { run, entries, stop })
    }
}

enum Choice {
    Run(LaneId),
    Hold(Instant),
    Nothing,
}

#[cfg(test)]
mod tests;
