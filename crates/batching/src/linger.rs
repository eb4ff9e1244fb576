//! Decides whether an idle worker delays a batch.
//!
//! Clients that wait for a response before their next request come back right after their batch. If waiting requests
//! run at once, returning clients find the worker busy. The clients then form groups that take turns, and each turn
//! has the fixed cost of a batch. If the batch waits for them, all share one batch. That is worthwhile if the delay is
//! less than the fixed cost saved.
//!
//! A batch is delayed only
//! - with one worker. In simulations with two, a delay gained up to 45 % if the fixed cost is nearly all, and lost up
//!   to 25 % otherwise. With one, it gained up to 90 % and never lost (`scheduler/tests/simulation.rs`);
//! - while clients with a recent response are missing, if clients have been returning in time. A single client is
//!   never delayed: after its own request, none is missing. Traffic that doesn't react to responses isn't delayed
//!   either: in half of a batch's time, at most half as many requests arrive as during the batch and its gap, which is
//!   the size of the next batch;
//! - for at most half of the fixed cost, so at most half of the batch's time;
//! - if the fixed cost is at least a tenth of the next batch's time;
//! - if half of the fixed cost is at least one millisecond, the resolution of timers.
//!
//! Once all clients share batches of one size, batches no longer show their fixed cost. After about a hundred batches,
//! a few are not delayed, which measures it again. Two clients that take turns have batches of one row only. They are
//! merged only if batches of other sizes were measured before, as in warm-up runs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::latency_model::{LatencyEstimate, duration};

/// Minimum delay: the resolution of tokio's timers.
const MIN_LINGER: Duration = Duration::from_millis(1);

/// Minimum fraction of a batch's time that a saved batch must be.
const MIN_SAVING: f64 = 0.1;

/// Minimum fraction of clients that return in time. Traffic that doesn't react to responses reaches a half.
const MIN_RETURNS: f64 = 0.75;

/// Weight of the newest batch in the fraction of returning clients.
const NEWEST: f64 = 0.125;

/// Maximum delay of a batch, if any is worthwhile.
#[must_use]
pub fn longest(estimate: Option<LatencyEstimate>, max: Duration) -> Option<Duration> {
    let (fixed, _) = estimate?.line()?;
    let longest = duration(fixed / 2.0).min(max);
    (longest >= MIN_LINGER).then_some(longest)
}

/// Whether a saved batch is a significant part of the time of a batch with these rows.
#[must_use]
pub fn saves(estimate: Option<LatencyEstimate>, rows: usize) -> bool {
    estimate
        .and_then(|estimate| estimate.line())
        .is_some_and(|(fixed, per_row)| fixed >= MIN_SAVING * (fixed + per_row * rows as f64))
}

/// Clients with a response that may return.
#[derive(Debug, Clone)]
struct Window {
    lapses: Instant,
    answered: usize,
    missing: usize,
}

/// Clients with a recent response that haven't returned yet, and the usual fraction of those that do.
#[derive(Debug, Clone, Default)]
pub struct ReturningClients {
    /// The oldest first; each has missing clients.
    windows: VecDeque<Window>,
    missing: usize,
    /// Recent fraction of clients that returned in time.
    usual: f64,
}

impl ReturningClients {
    /// A batch was answered. Its clients return in time if they return within this duration.
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

    /// A request arrived, from an unknown client.
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

    /// Number of missing clients that may still return in time, and until when. None if clients don't usually return.
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

    /// Batches of four clients. This number of them returns within a millisecond each time.
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
