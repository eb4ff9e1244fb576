//! Whether an idle worker should hold a batch back for a moment.
//!
//! Clients that wait for an answer before they ask again come back right after their batch. Run
//! what waits at once, and those that come back find the worker busy: the clients fall into groups
//! that take turns, and each turn pays a batch's fixed cost. Held back until they are there, all
//! share one batch. That is worth it while the time held is less than the fixed cost that is saved.
//!
//! So a batch is held only
//! - where there is one worker. With two, simulated, holding one back gained up to 45 % where the
//!   fixed cost is nearly all and lost up to 25 % elsewhere; with one, it gained up to 90 % and
//!   nowhere lost (`machine/tests/simulation.rs`);
//! - while clients that were just answered are missing, and clients have been coming back in time
//!   until now. Who is alone is never held: with its own request nobody is missing any more. Nor is
//!   traffic that doesn't react to answers: in half of a batch's time comes at most half as much as
//!   during the batch and its gap, which is what the next batch takes;
//! - for at most half of the fixed cost, which is at most half of the batch's time;
//! - where the fixed cost is a tenth or more of the batch that would run;
//! - where half the fixed cost is at least the millisecond that timers can keep.
//!
//! Once all clients share batches of one size, batches no longer tell their fixed cost: after a
//! hundred or so nothing is held for a few, which measures it anew. Two clients that take turns have
//! batches of one row only, and are brought together only where batches of other sizes were measured
//! before, as in a model's trial runs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::latency_model::{LatencyEstimate, duration};

/// Shortest time worth a timer, whose resolution it is (tokio's is a millisecond).
const MIN_LINGER: Duration = Duration::from_millis(1);

/// Least part of a batch's time that another batch saved must be, to be worth it.
const MIN_SAVING: f64 = 0.1;

/// Least part of the clients that must have come back in time lately. Traffic that doesn't react to
/// answers reaches a half.
const MIN_RETURNS: f64 = 0.75;

/// What the newest batch counts among those before, for the part that came back.
const NEWEST: f64 = 0.125;

/// Longest that a batch may be held, if any time is worth it.
#[must_use]
pub fn longest(estimate: Option<LatencyEstimate>, max: Duration) -> Option<Duration> {
    let (fixed, _) = estimate?.line()?;
    let longest = duration(fixed / 2.0).min(max);
    (longest >= MIN_LINGER).then_some(longest)
}

/// Whether a batch saved is a notable part of what a batch with so many rows takes.
#[must_use]
pub fn saves(estimate: Option<LatencyEstimate>, rows: usize) -> bool {
    estimate
        .and_then(|estimate| estimate.line())
        .is_some_and(|(fixed, per_row)| fixed >= MIN_SAVING * (fixed + per_row * rows as f64))
}

/// Clients that were answered and may come back.
#[derive(Debug, Clone)]
struct Window {
    lapses: Instant,
    answered: usize,
    missing: usize,
}

/// Who was answered lately and has not come back yet, and how many usually do.
#[derive(Debug, Clone, Default)]
pub struct ReturningClients {
    /// The oldest first; each has somebody missing.
    windows: VecDeque<Window>,
    missing: usize,
    /// Part of the clients that came back in time, lately.
    usual: f64,
}

impl ReturningClients {
    /// A batch was answered whose clients would come back in time within this.
    pub fn answered(&mut self, now: Instant, clients: usize, within: Duration) {
        self.lapse(now);
        if clients > 0 {
            self.missing += clients;
            self.windows.push_back(Window {
                lapses: now + within,
                answered: clients,
                missing: clients,
            });
        }
    }

    /// A request came, of which nobody knows whose it is.
    pub fn arrived(&mut self, now: Instant) {
        self.lapse(now);
        let Some(oldest) = self.windows.front_mut() else {
            return;
        };
        oldest.missing -= 1;
        self.missing -= 1;
        if oldest.missing == 0 {
            self.close_oldest();
        }
    }

    /// Who is missing and may still come in time, and until when; nobody where it isn't usual.
    pub fn expected(&mut self, now: Instant) -> Option<(usize, Instant)> {
        self.lapse(now);
        let newest = self.windows.back()?;
        (self.usual >= MIN_RETURNS).then_some((self.missing, newest.lapses))
    }

    fn lapse(&mut self, now: Instant) {
        while self
            .windows
            .front()
            .is_some_and(|oldest| oldest.lapses <= now)
        {
            self.close_oldest();
        }
    }

    fn close_oldest(&mut self) {
        if let Some(window) = self.windows.pop_front() {
            self.missing -= window.missing;
            let came = window.answered - window.missing;
            self.usual += (came as f64 / window.answered as f64 - self.usual) * NEWEST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency_model::{BatchLatency, LatencyModel};

    const WITHIN: Duration = Duration::from_millis(5);

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Batches of four clients of whom so many come back within a millisecond each time.
    fn after(batches: usize, come_back: usize) -> (ReturningClients, Instant) {
        let (mut returns, mut now) = (ReturningClients::default(), Instant::now());
        for _batch in 0..batches {
            returns.answered(now, 4, WITHIN);
            now += milliseconds(1);
            for _client in 0..come_back {
                returns.arrived(now);
            }
            now += milliseconds(10);
        }
        (returns, now)
    }

    #[test]
    fn clients_are_expected_once_they_are_used_to_come_back() {
        for (batches, come_back, expected) in
            [(0, 4, false), (5, 4, false), (20, 4, true), (100, 2, false)]
        {
            let (mut returns, now) = after(batches, come_back);
            returns.answered(now, 3, WITHIN);
            let expected = expected.then(|| (3, now + WITHIN));
            assert_eq!(returns.expected(now), expected, "{batches}, {come_back}");
        }
    }

    #[test]
    fn nobody_is_expected_who_is_back_or_late() {
        let (mut returns, now) = after(20, 4);
        returns.answered(now, 2, WITHIN);
        returns.arrived(now);
        assert_eq!(returns.expected(now), Some((1, now + WITHIN)));
        assert_eq!(returns.expected(now + WITHIN), None);
        returns.answered(now + WITHIN, 1, WITHIN);
        returns.arrived(now + WITHIN);
        assert_eq!(returns.expected(now + WITHIN), None);
    }

    #[test]
    fn clients_of_several_batches_are_expected_together() {
        let (mut returns, now) = after(20, 4);
        let later = now + milliseconds(2);
        returns.answered(now, 2, WITHIN);
        returns.answered(later, 3, WITHIN);
        assert_eq!(returns.expected(later), Some((5, later + WITHIN)));
        assert_eq!(returns.expected(now + WITHIN), Some((3, later + WITHIN)));
    }

    #[test]
    fn only_a_heavy_fixed_cost_is_worth_a_wait() {
        let batch = |rows, seconds| BatchLatency {
            rows,
            took: Duration::from_secs_f64(seconds),
        };
        let line = |fixed: f64, per_row: f64| {
            let mut time = LatencyModel::default();
            for rows in [1, 32, 1, 32, 1, 32] {
                time.observe(batch(rows, fixed + per_row * rows as f64));
            }
            time.estimate()
        };
        let max = milliseconds(50);
        let held = longest(line(0.010, 0.001), max).unwrap();
        assert!(held.abs_diff(milliseconds(5)) < Duration::from_nanos(10));
        assert_eq!(longest(line(1.0, 0.001), max), Some(max));
        assert_eq!(
            longest(line(0.001, 0.001), max),
            None,
            "timers can't keep it"
        );
        assert_eq!(longest(line(0.010, 0.001), Duration::ZERO), None);
        let mut point = LatencyModel::default();
        point.observe(batch(4, 1.0));
        assert_eq!(longest(point.estimate(), max), None);
        assert_eq!(longest(None, max), None);
        assert!(saves(line(0.010, 0.001), 32));
        assert!(!saves(line(0.010, 0.005), 32));
    }
}
