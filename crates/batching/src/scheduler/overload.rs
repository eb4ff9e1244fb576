//! Whether the queue is standing: no burst that is over soon, but more than can be answered.

use std::time::{Duration, Instant};

/// What answers are worth while more requests come than can be answered.
///
/// A queue before workers that have not been idle for long is no burst that it absorbs, and whatever waits
/// there only makes every answer later. Controlled Delay (RFC 8289) tells such a standing queue from a
/// good one by time, too, and so do servers ("Fail at Scale", ACM Queue 13(8)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objective {
    /// The latency that answers should have then. Requests whose answer would take longer are refused, so
    /// that the others are answered in time. Batches take half of it at most: where it is shorter than 2.5
    /// full batches, and batches save much by their size, it costs throughput.
    pub latency: Duration,
    /// For how long all workers must have been busy without a pause. As long as a request's time: a burst
    /// that can be answered in time at all is over by then.
    pub overload_after: Duration,
}

/// Of the time that makes a queue standing, the part for which a worker has to be idle for it to be over:
/// a quarter. Not any pause: where batches take now less and now more than expected, the queue that is kept
/// short runs dry in the middle of an overload. A load of three quarters leaves that much, and above it
/// more pods are asked for.
const PAUSES: u32 = 4;

#[derive(Debug)]
enum State {
    /// Since when all workers have been busy, if they are.
    Normal(Option<Instant>),
    Overloaded {
        /// When the time began in which pauses are added up.
        since: Instant,
        /// Pauses until the present one.
        paused: Duration,
    },
}

/// Watches whether workers have pauses.
#[derive(Debug)]
pub(super) struct OverloadDetector {
    objective: Objective,
    state: State,
    /// Since when a worker has had nothing to do.
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

    /// The latency that answers should have now, as of the last [`OverloadDetector::update`].
    pub(super) const fn latency(&self) -> Option<Duration> {
        match self.state {
            State::Normal(_) => None,
            State::Overloaded { .. } => Some(self.objective.latency),
        }
    }

    /// A worker looks for work, and there is none.
    pub(super) fn idle(&mut self, now: Instant) {
        self.idle_since.get_or_insert(now);
        if let State::Normal(busy_since) = &mut self.state {
            *busy_since = None;
        }
    }

    /// All workers have work.
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

    /// How long the present pause has been, of the time in which pauses are added up.
    fn pause(&self, now: Instant) -> Duration {
        let (Some(idle_since), State::Overloaded { since, .. }) = (self.idle_since, &self.state)
        else {
            return Duration::ZERO;
        };
        now.saturating_duration_since(idle_since.max(*since))
    }

    /// Decides anew.
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
