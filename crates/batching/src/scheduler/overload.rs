//! Detects a sustained overload, in contrast to a short burst.

use std::time::{Duration, Instant};

/// The latency objective in a sustained overload.
///
/// A queue in front of workers that haven't been idle for long doesn't absorb a burst: waiting requests only delay
/// every response. Controlled Delay (RFC 8289) distinguishes such a standing queue by time, too, and so do servers
/// ("Fail at Scale", ACM Queue 13(8)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objective {
    /// Target latency of responses. Requests whose response would take longer are rejected, so that the others are in
    /// time. Batches take at most half of it: an objective below 2.5 full batches reduces the throughput if batches
    /// save much by their size.
    pub latency: Duration,
    /// Time for which all workers must be busy without a pause: the initial time of a request. A burst that can be
    /// answered in time is over by then.
    pub overload_after: Duration,
}

/// Fraction of this time for which a worker must be idle until the overload is over: a quarter. A single pause isn't
/// enough: if latencies vary, the shortened queue runs empty during an overload. A load of three quarters has that
/// much idle time, and above it the autoscaler adds pods.
const PAUSES: u32 = 4;

#[derive(Debug)]
enum State {
    /// Since when all workers have been busy, if they are.
    Normal(Option<Instant>),
    Overloaded {
        /// Start of the window in which idle time is summed.
        since: Instant,
        /// Idle time in the window, without the present pause.
        paused: Duration,
    },
}

/// Detects a sustained overload from the pauses of workers.
#[derive(Debug)]
pub(super) struct OverloadDetector {
    objective: Objective,
    state: State,
    /// Since when a worker has been idle.
    idle_since: Option<Instant>,
}

impl OverloadDetector {
    pub(super) const fn new(objective: Objective) -> Self {
        Self {
            objective,
            state: State::Normal(None),
            idle_since: None,
        }
    }

    /// The target latency in an overload, as of the last [`OverloadDetector::update`].
    pub(super) const fn latency(&self) -> Option<Duration> {
        match self.state {
            State::Normal(_) => None,
            State::Overloaded { .. } => Some(self.objective.latency),
        }
    }

    /// A worker is idle.
    pub(super) fn idle(&mut self, now: Instant) {
        self.idle_since.get_or_insert(now);
        if let State::Normal(busy_since) = &mut self.state {
            *busy_since = None;
        }
    }

    /// All workers are busy.
    pub(super) fn busy(&mut self, now: Instant) {
        let pause = self.pause(now);
        self.idle_since = None;
        match &mut self.state {
            State::Normal(busy_since) => {
                busy_since.get_or_insert(now);
            }
            State::Overloaded { paused, .. } => *paused += pause,
        }
    }

    /// Length of the present pause within the window.
    fn pause(&self, now: Instant) -> Duration {
        let (Some(idle_since), State::Overloaded { since, .. }) = (self.idle_since, &self.state)
        else {
            return Duration::ZERO;
        };
        now.saturating_duration_since(idle_since.max(*since))
    }

    /// Updates the state.
    pub(super) fn update(&mut self, now: Instant) {
        let time = self.objective.overload_after;
        let pause = self.pause(now);
        match &mut self.state {
            State::Normal(Some(busy_since))
                if now.saturating_duration_since(*busy_since) >= time =>
            {
                self.state = State::Overloaded {
                    since: now,
                    paused: Duration::ZERO,
                };
            }
            State::Normal(_) => {}
            State::Overloaded { paused, .. } if *paused + pause >= time / PAUSES => {
                let busy_since = self.idle_since.is_none().then_some(now);
                self.state = State::Normal(busy_since);
            }
            State::Overloaded { since, paused } => {
                if now.saturating_duration_since(*since) >= time {
                    (*since, *paused) = (now, Duration::ZERO);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const OBJECTIVE: Objective = Objective {
        latency: Duration::from_millis(500),
        overload_after: Duration::from_secs(5),
    };

    struct Scene {
        queue: OverloadDetector,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                queue: OverloadDetector::new(OBJECTIVE),
                now: Instant::now(),
            }
        }

        /// So many rounds in which all workers are busy and then one is idle, in milliseconds.
        fn rounds(&mut self, count: usize, busy: u64, idle: u64) -> bool {
            for _round in 0..count {
                self.queue.busy(self.now);
                self.pass(busy);
                if idle > 0 {
                    self.queue.idle(self.now);
                    self.pass(idle);
                }
            }
            self.queue.latency().is_some()
        }

        /// Ten times as long as requests come.
        fn pass(&mut self, milliseconds: u64) {
            for _look in 0..10 {
                self.now += Duration::from_millis(milliseconds) / 10;
                self.queue.update(self.now);
            }
        }
    }

    #[test]
    fn it_stands_once_no_worker_has_paused_for_the_whole_time() {
        let mut scene = Scene::new();
        assert!(!scene.rounds(1, 4_900, 0));
        assert!(scene.rounds(1, 100, 0));
        assert_eq!(scene.queue.latency(), Some(OBJECTIVE.latency));
    }

    #[test]
    fn the_shortest_pause_tells_a_burst() {
        let mut scene = Scene::new();
        assert!(!scene.rounds(20, 4_900, 1));
    }

    #[test]
    fn pauses_of_less_than_a_quarter_do_not_end_it() {
        let mut scene = Scene::new();
        scene.rounds(1, 5_000, 0);
        assert!(scene.rounds(1_000, 80, 20));
    }

    #[test]
    fn pauses_of_a_quarter_end_it_and_a_burst_has_its_whole_time_again() {
        let mut scene = Scene::new();
        scene.rounds(1, 5_000, 0);
        assert!(!scene.rounds(100, 70, 30));
        assert!(!scene.rounds(1, 4_900, 0));
    }

    #[test]
    fn a_long_pause_ends_it_however_late_somebody_looks() {
        for pause in [2, 60, 3_600] {
            let mut scene = Scene::new();
            scene.rounds(1, 5_000, 0);
            scene.queue.idle(scene.now);
            scene.now += pause * SECOND;
            scene.queue.update(scene.now);
            assert_eq!(scene.queue.latency(), None);
            scene.queue.busy(scene.now);
            scene.pass(4_000);
            assert_eq!(scene.queue.latency(), None);
        }
    }

    #[test]
    fn pauses_before_it_stood_do_not_count() {
        let mut scene = Scene::new();
        scene.queue.idle(scene.now);
        scene.now += 3_600 * SECOND;
        assert!(scene.rounds(1, 5_000, 0));
        assert!(scene.rounds(1, 10_000, 0));
    }
}
