//! The retries of a fetch, and its progress.

use std::time::{Duration, Instant};

use super::fault::Fault;

/// Pause before the first retry. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Maximum pause.
const MAX_PAUSE: Duration = Duration::from_secs(16);

/// The limits of retries.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Maximum time without received data, over all attempts and the pauses between them.
    pub stall_timeout: Duration,
    /// The end of the whole fetch. None: no limit.
    pub deadline: Option<Instant>,
    /// Maximum consecutive attempts without progress that are retried.
    pub count: u32,
}

impl RetryPolicy {
    /// Rest of the stall timeout for an attempt at `now`, if data was last received at `last_received`.
    #[must_use]
    pub fn left(&self, last_received: Instant, now: Instant) -> Duration {
        let left = self
            .stall_timeout
            .saturating_sub(now.saturating_duration_since(last_received));
        self.left_in_total(now)
            .map_or(left, |total| left.min(total))
    }

    /// Rest of the time of the whole fetch. None: no limit.
    #[must_use]
    pub fn left_in_total(&self, now: Instant) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(now))
    }

    /// The pause before the next attempt. None: there is none. `failures` is the number of consecutive attempts without
    /// progress, with the one that ended with `fault`.
    #[must_use]
    pub fn pause(
        &self,
        failures: u32,
        fault: &Fault,
        last_received: Instant,
        now: Instant,
    ) -> Option<Duration> {
        if !fault.is_transient() || failures > self.count {
            return None;
        }
        let pause = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
            .min(MAX_PAUSE);
        (pause < self.left(last_received, now)).then_some(pause)
    }
}

/// Interval of log lines during a download.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// The progress of a fetch.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    last_received: Instant,
    last_logged: Instant,
}

impl Progress {
    /// The fetch begins.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            last_received: now,
            last_logged: now,
        }
    }

    /// When data was last received, or the fetch began.
    #[must_use]
    pub const fn last_received(&self) -> Instant {
        self.last_received
    }

    /// Data was received: there are `bytes` now, of `total` if that is known. Logs it at intervals.
    pub fn receive(&mut self, bytes: u64, total: Option<u64>, now: Instant) {
        if self.is_to_be_logged(now) {
            tracing::info!(bytes, total, "fetching");
        }
    }

    /// Notes that data was received. Gives whether it is to be logged.
    fn is_to_be_logged(&mut self, now: Instant) -> bool {
        self.last_received = now;
        let is_due = now.saturating_duration_since(self.last_logged) >= LOG_INTERVAL;
        if is_due {
            self.last_logged = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::super::fault::NetworkFault;
    use super::*;

    fn status(code: u16) -> Fault {
        Fault::Status {
            url: "http://models/m".to_owned(),
            status: StatusCode::from_u16(code).unwrap(),
        }
    }

    fn unreachable(problem: NetworkFault) -> Fault {
        Fault::Unreachable {
            url: "http://models/m".to_owned(),
            problem,
        }
    }

    fn retries(count: u32) -> RetryPolicy {
        RetryPolicy {
            stall_timeout: Duration::from_secs(60),
            deadline: None,
            count,
        }
    }

    #[test]
    fn pauses_double_until_the_retries_or_the_time_are_exhausted() {
        let began = Instant::now();
        let retries = retries(7);
        let pauses: Vec<_> = (1..=8)
            .map(|failures| retries.pause(failures, &status(503), began, began))
            .map(|pause| pause.map(|pause| pause.as_millis()))
            .collect();
        let expected = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000].map(Some);
        assert_eq!(pauses[..7], expected);
        assert_eq!(pauses[7], None);
        // An attempt with progress isn't counted.
        assert_eq!(
            retries.pause(0, &status(503), began, began),
            Some(FIRST_PAUSE)
        );
        let late = began + Duration::from_millis(59_600);
        assert_eq!(retries.pause(0, &status(503), began, late), None);
        assert_eq!(retries.left(began, late), Duration::from_millis(400));
        // The stall timeout counts from the last received data, and the total time doesn't matter.
        let day = began + Duration::from_secs(86_400);
        assert_eq!(retries.left(day, day), retries.stall_timeout);
        assert_eq!(retries.pause(0, &status(503), day, day), Some(FIRST_PAUSE));
    }

    #[test]
    fn the_timeout_of_the_whole_fetch_is_respected() {
        let began = Instant::now();
        let bounded = RetryPolicy {
            deadline: Some(began + Duration::from_secs(10)),
            ..retries(4)
        };
        let late = began + Duration::from_secs(9);
        assert_eq!(bounded.left(late, late), Duration::from_secs(1));
        assert_eq!(bounded.left_in_total(late), Some(Duration::from_secs(1)));
        assert_eq!(
            bounded.pause(1, &status(503), late, late),
            Some(FIRST_PAUSE)
        );
        assert_eq!(bounded.pause(2, &status(503), late, late), None);
        assert_eq!(retries(4).left_in_total(late), None);
    }

    #[test]
    fn progress_is_logged_at_intervals() {
        let began = Instant::now();
        let mut progress = Progress::new(began);
        let told: Vec<_> = (1..=100)
            .map(|seconds| began + Duration::from_secs(seconds))
            .map(|now| progress.is_to_be_logged(now))
            .collect();
        let at: Vec<_> = (1..=100).filter(|second| told[second - 1]).collect();
        assert_eq!(at, [30, 60, 90]);
        assert_eq!(progress.last_received(), began + Duration::from_secs(100));
    }

    #[test]
    fn permanent_faults_are_not_retried() {
        let began = Instant::now();
        for fault in [
            status(404),
            Fault::TooLarge { max: 1 },
            unreachable(NetworkFault::Tls),
        ] {
            assert_eq!(retries(4).pause(0, &fault, began, began), None, "{fault}");
        }
    }
}
