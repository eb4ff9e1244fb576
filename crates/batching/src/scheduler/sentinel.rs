//! Which shared batches are checked, and when.
//!
//! A check runs one request of a shared batch again, alone, and compares: an answer must not depend on
//! whose requests were in the batch. That is proven or tried out before a model shares batches; checks
//! are for where that was wrong.
//!
//! - *Which.* One request, at random, of one batch in [`Sentinel::every`], and of the next batch when
//!   the newest was taken ten seconds ago: few large batches are checked as soon as many small ones. For
//!   the first [`Sentinel::first`] checks every batch is as good as another: the next one is taken as
//!   soon as the last is decided. At most one request is kept.
//! - *When.* While nothing waits and a worker would sleep. A request that finds no other worker idle
//!   stops the check, which is repeated from its beginning. One that has waited for long is *overdue*:
//!   it runs between two batches, and isn't stopped. Under a load that leaves no pause a wrong model would
//!   never be found otherwise, and a wrong answer is worse than one that is late by one run.
//! - *How much.* Checks take one part in a hundred of the time, those that were stopped included, but for
//!   the first second, which may be taken at once. A second that was not used is kept, more is not: a night
//!   without requests doesn't make the morning's checks denser.
//!
//! What it can't find: a difference that the compared request doesn't show. Where one answer in twenty
//! depends on its neighbours, it takes some twenty checks; a model whose runs take two seconds has one
//! in 200. Nor does it find what no shared batch has shown yet, a difference within the comparison's
//! tolerance, or that a model is wrong alone as well. A model that answers the same request differently
//! each time is taken for one whose answers depend on neighbours.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::cancel::CancelHandle;

/// How densely shared batches are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentinel {
    /// Checks that follow one another as closely as the bound on their time allows, before the others.
    pub first: u32,
    /// After those, one batch in so many is checked, at random. One every ten seconds is in any case.
    pub every: NonZeroU32,
}

impl Sentinel {
    /// For a model whose rows are proven to be independent.
    pub const PROVEN: Self = Self {
        first: 0,
        every: NonZeroU32::MIN.saturating_add(999),
    };

    /// For a model of which only trial runs have shown it.
    pub const UNPROVEN: Self = Self {
        first: 20,
        ..Self::PROVEN
    };
}

/// What a check has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// Alone the request gets what it got in its batch.
    Same,
    /// It gets something else: requests share no batch any more.
    Different,
    /// It gets something else, and whoever serves it takes that: requests share batches as before.
    Tolerated,
    /// The run failed, or the worker can't compare: nothing is known.
    Undecided,
}

/// Longest time from one kept request to the next, while batches are shared.
const AT_LEAST: Duration = Duration::from_secs(10);

/// Time after which a kept request is overdue.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for the first checks.
const PATIENCE_AT_FIRST: Duration = Duration::from_secs(1);

/// Longest that an overdue check keeps requests waiting. One that takes longer than requests usually may
/// is given up, so that a run that doesn't end takes no worker away.
const LONGEST: Duration = Duration::from_secs(10);

/// Stops after which a check is no longer tried in pauses: they are too short for it.
const MAX_STOPS: u32 = 3;

/// Checks take one part in so many of the time.
const PRICE: u32 = 100;

/// Time that may be owed: that of one second of checks.
const CREDIT: Duration = Duration::from_secs(PRICE as u64);

/// Longest time of one check that is counted.
const MOST: Duration = Duration::from_secs(3_600);

/// Bounds the time that checks take, as a token bucket does: each second is paid for by [`PRICE`]
/// seconds, and a check may start while no more than [`CREDIT`] is owed.
#[derive(Debug, Default)]
struct Budget {
    /// When all checks until now are paid for.
    paid: Option<Instant>,
}

impl Budget {
    /// From when on a check may start. None where one always could.
    fn opens(&self) -> Option<Instant> {
        self.paid?.checked_sub(CREDIT)
    }

    fn is_open(&self, now: Instant) -> bool {
        self.opens().is_none_or(|opens| opens <= now)
    }

    /// A check ended that took so long.
    fn spend(&mut self, now: Instant, took: Duration) {
        let owed_from = self.paid.map_or(now, |paid| paid.max(now));
        self.paid = Some(owed_from + took.min(MOST) * PRICE);
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
        /// From when on it may be stopped.
        yields: Instant,
        overdue: bool,
        /// None once its end was asked for.
        stop: Option<CancelHandle>,
    },
}

/// Decides about the checks of one model. `S` is what is kept for a check.
#[derive(Debug)]
pub(super) struct SentinelState<S> {
    sentinel: Sentinel,
    state: State<S>,
    budget: Budget,
    /// Checks that have been decided, or never will be.
    settled: u32,
    /// When the newest request was kept.
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
            // Traffic has no pattern that would follow these numbers.
            chance: fastrand::Rng::with_seed(0),
        }
    }

    /// A batch of so many requests ran well: which of them to keep, if any.
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

    /// What was chosen. Where another worker's was faster, it is dropped.
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

    /// The check that has to run now, even if others wait.
    pub(super) fn start_overdue(&mut self, now: Instant) -> Option<(S, CancelHandle)> {
        let State::Pending { since, .. } = self.state else {
            return None;
        };
        let is_overdue = since + self.patience() <= now && self.budget.is_open(now);
        is_overdue.then(|| self.start(now + LONGEST, true))?
    }

    /// The check that can run on a worker that would sleep.
    pub(super) fn start_idle(&mut self, now: Instant) -> Option<(S, CancelHandle)> {
        let State::Pending { stops, .. } = self.state else {
            return None;
        };
        let may = stops < MAX_STOPS && self.budget.is_open(now);
        may.then(|| self.start(now, false))?
    }

    /// When a check will start if nothing happens until then, with or without anything that waits.
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

    /// A request needs the worker of the check that runs. Nothing when that check must not be stopped,
    /// or was already.
    pub(super) fn interrupt(&mut self, now: Instant) -> Option<CancelHandle> {
        match &mut self.state {
            State::Running { yields, stop, .. } if *yields <= now => stop.take(),
            State::Free | State::Pending { .. } | State::Running { .. } => None,
        }
    }

    /// The check ended after so long, with a result, or without one because it was stopped. Gives what
    /// it says, if it is over with it.
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

    /// What ends the check that runs: it is of no use any more.
    pub(super) fn give_up(self) -> Option<CancelHandle> {
        match self.state {
            State::Running { stop, .. } => stop,
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
                let stop = CancelHandle::default();
                self.state = State::Running {
                    since,
                    stops,
                    yields,
                    overdue,
                    stop: Some(stop.clone()),
                };
                Some((sample, stop))
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
