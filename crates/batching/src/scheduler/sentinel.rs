//! The sentinel: which shared batches are checked, and when.
//!
//! A check runs one request of a shared batch again alone, and compares: a response must not depend on the other
//! requests of the batch. That is proven or tested before a model shares batches. Checks find the cases in which that
//! was wrong.
//!
//! - *Selection.* One random request of one batch in [`Sentinel::every`], and of the next batch if the latest
//!   selection was ten seconds ago: a few large batches are checked as soon as many small ones. During the first
//!   [`Sentinel::first`] checks, the next batch is selected as soon as the latest check is decided. At most one
//!   request is kept.
//! - *Time.* While the queue is empty and a worker would sleep. A request that finds no other worker idle cancels the
//!   check, which is repeated from the beginning. A check that has waited for long is *overdue*: it runs between two
//!   batches and isn't cancelled. Without this, a load without pauses would hide an invalid model, and a wrong
//!   response is worse than one that is late by one run.
//! - *Cost.* Checks take one percent of the time, including cancelled ones, except for an initial second. One unused
//!   second is saved, but no more: a night without requests doesn't increase the density of checks in the morning.
//!
//! Checks don't find a difference that the selected request doesn't show: if one response in twenty depends on others,
//! it takes about twenty checks. A model with runs of two seconds has one check in 200 seconds. Checks don't find what
//! no shared batch has shown, a difference within the tolerance, or a model that is wrong alone, too. A model with
//! random responses counts as one whose responses depend on other requests.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::cancel::CancelHandle;

/// The density of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentinel {
    /// Number of first checks, which follow one another as closely as the limit of their cost allows.
    pub first: u32,
    /// After those, one batch of this number is checked, at random, and one every ten seconds in any case.
    pub every: NonZeroU32,
}

impl Sentinel {
    /// For a model whose rows are proven independent.
    pub const PROVEN: Self = Self {
        first: 0,
        every: NonZeroU32::MIN.saturating_add(999),
    };

    /// For a model whose rows are independent according to warm-up runs only.
    pub const UNPROVEN: Self = Self {
        first: 20,
        ..Self::PROVEN
    };
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// The output alone equals that of the batch.
    Same,
    /// The outputs differ: requests no longer share batches.
    Different,
    /// The outputs differ, and the owner of the model accepts it: requests continue to share batches.
    Tolerated,
    /// Unknown: the run failed, or the worker can't compare.
    Undecided,
}

/// Maximum time between two selections, while batches are shared.
const AT_LEAST: Duration = Duration::from_secs(10);

/// Time after which a check is overdue.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for the first checks.
const PATIENCE_AT_FIRST: Duration = Duration::from_secs(1);

/// Maximum time of an overdue check. A longer one, longer than requests usually may take, is cancelled: an endless run
/// must not occupy the worker.
const LONGEST: Duration = Duration::from_secs(10);

/// Number of cancellations after which a check no longer runs in pauses: they are too short.
const MAX_STOPS: u32 = 3;

/// Checks take one part of this number of the time.
const PRICE: u32 = 100;

/// Maximum debt: the cost of one second of checks.
const CREDIT: Duration = Duration::from_secs(PRICE as u64);

/// Maximum time of one check that counts.
const MAX_CHARGED_DURATION: Duration = Duration::from_secs(3_600);

/// Limits the time of checks, as a token bucket does: each second costs [`PRICE`] seconds, and a check may start while
/// the debt is at most [`CREDIT`].
#[derive(Debug, Default)]
struct Budget {
    /// The instant at which all earlier checks are paid.
    paid: Option<Instant>,
}

impl Budget {
    /// The instant from which on a check may start. None if it always may.
    fn opens(&self) -> Option<Instant> {
        self.paid?.checked_sub(CREDIT)
    }

    fn is_open(&self, now: Instant) -> bool {
        self.opens().is_none_or(|opens| opens <= now)
    }

    /// A check of this duration ended.
    fn spend(&mut self, now: Instant, took: Duration) {
        let owed_from = self.paid.map_or(now, |paid| paid.max(now));
        self.paid = Some(owed_from + took.min(MAX_CHARGED_DURATION) * PRICE);
    }
}

#[derive(Debug)]
enum State<S> {
    Free,
    Pending {
        sample: S,
        since: Instant,
        stops: u32,
    },
    Running {
        since: Instant,
        stops: u32,
        /// The instant from which on it may be cancelled.
        yields: Instant,
        overdue: bool,
        /// None after it was cancelled.
        cancel: Option<CancelHandle>,
    },
}

/// Decides about the checks of one model. `S` is the kept sample.
#[derive(Debug)]
pub(super) struct SentinelState<S> {
    sentinel: Sentinel,
    state: State<S>,
    budget: Budget,
    /// Number of checks that were decided, or given up.
    settled: u32,
    /// Time of the latest selection.
    newest: Option<Instant>,
    chance: fastrand::Rng,
}

impl<S> SentinelState<S> {
    pub(super) fn new(sentinel: Sentinel) -> Self {
        Self {
            sentinel,
            state: State::Free,
            budget: Budget::default(),
            settled: 0,
            newest: None,
            // No traffic has a pattern that follows these numbers.
            chance: fastrand::Rng::with_seed(0),
        }
    }

    /// A batch of this number of requests completed: the index of the request to keep, if any.
    pub(super) fn choose(&mut self, now: Instant, requests: usize) -> Option<usize> {
        if requests < 2 || !matches!(self.state, State::Free) || !self.budget.is_open(now) {
            return None;
        }
        let age = |newest| now.saturating_duration_since(newest);
        let due = self.settled < self.sentinel.first
            || self.newest.is_none_or(|newest| age(newest) >= AT_LEAST)
            || self.chance.u32(..self.sentinel.every.get()) == 0;
        due.then(|| self.chance.usize(..requests))
    }

    /// Keeps the selected request. It is dropped if another worker was faster.
    pub(super) fn keep(&mut self, now: Instant, sample: S) {
        if matches!(self.state, State::Free) {
            self.newest = Some(now);
            self.state = State::Pending {
                sample,
                since: now,
                stops: 0,
            };
        }
    }

    /// The check that must run now, even if requests are queued.
    pub(super) fn start_overdue(&mut self, now: Instant) -> Option<(S, CancelHandle)> {
        let State::Pending { since, .. } = self.state else {
            return None;
        };
        let is_overdue = since + self.patience() <= now && self.budget.is_open(now);
        is_overdue.then(|| self.start(now + LONGEST, true))?
    }

    /// The check to run on a worker that would sleep.
    pub(super) fn start_idle(&mut self, now: Instant) -> Option<(S, CancelHandle)> {
        let State::Pending { stops, .. } = self.state else {
            return None;
        };
        let may = stops < MAX_STOPS && self.budget.is_open(now);
        may.then(|| self.start(now, false))?
    }

    /// The instant at which a check will start if nothing else happens, with or without queued requests.
    pub(super) fn starts(&self, waits: bool) -> Option<Instant> {
        let State::Pending { since, stops, .. } = self.state else {
            return None;
        };
        let overdue = since + self.patience();
        let earliest = if waits || stops >= MAX_STOPS {
            overdue
        } else {
            since
        };
        Some(self.budget.opens().map_or(earliest, |it| it.max(earliest)))
    }

    /// A request needs the worker of the running check. None if that check must not be cancelled, or already is.
    pub(super) fn interrupt(&mut self, now: Instant) -> Option<CancelHandle> {
        match &mut self.state {
            State::Running { yields, cancel, .. } if *yields <= now => cancel.take(),
            State::Free | State::Pending { .. } | State::Running { .. } => None,
        }
    }

    /// The check ended after this time, with a result, or without one because it was cancelled. Returns the final
    /// result, if it is final.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        sample: S,
        took: Duration,
        check: Option<CheckResult>,
    ) -> Option<CheckResult> {
        self.budget.spend(now, took);
        match std::mem::replace(&mut self.state, State::Free) {
            State::Running {
                since,
                stops,
                overdue: false,
                ..
            } if check.is_none() => {
                let stops = stops + 1;
                self.state = State::Pending {
                    sample,
                    since,
                    stops,
                };
                None
            }
            State::Free | State::Pending { .. } | State::Running { .. } => {
                self.settled = self.settled.saturating_add(1);
                Some(check.unwrap_or(CheckResult::Undecided))
            }
        }
    }

    /// The handle of the running check, whose result is no longer needed.
    pub(super) fn into_cancel_handle(self) -> Option<CancelHandle> {
        match self.state {
            State::Running { cancel, .. } => cancel,
            State::Free | State::Pending { .. } => None,
        }
    }

    const fn patience(&self) -> Duration {
        if self.settled < self.sentinel.first {
            PATIENCE_AT_FIRST
        } else {
            PATIENCE
        }
    }

    fn start(&mut self, yields: Instant, overdue: bool) -> Option<(S, CancelHandle)> {
        match std::mem::replace(&mut self.state, State::Free) {
            State::Pending {
                sample,
                since,
                stops,
            } => {
                let cancel = CancelHandle::default();
                self.state = State::Running {
                    since,
                    stops,
                    yields,
                    overdue,
                    cancel: Some(cancel.clone()),
                };
                Some((sample, cancel))
            }
            other => {
                self.state = other;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
