use super::*;

const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

const SECOND: Duration = Duration::from_secs(1);

fn sentinel(first: u32, every: u32) -> Sentinel {
    let every = NonZeroU32::new(every).unwrap();
    Sentinel { first, every }
}

struct Scene {
    watch: SentinelState<&'static str>,
    now: Instant,
}

impl Scene {
    fn new(sentinel: Sentinel) -> Self {
        Self {
            watch: SentinelState::new(sentinel),
            now: Instant::now(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// A batch of this number of requests runs. Returns whether one is kept.
    fn batch(&mut self, requests: usize) -> bool {
        let chosen = self.watch.choose(self.now, requests);
        if let Some(index) = chosen {
            assert!(index < requests);
            self.watch.keep(self.now, "kept");
        }
        chosen.is_some()
    }

    /// The check that a worker without work begins.
    fn start(&mut self) -> CancelHandle {
        self.watch.start_idle(self.now).unwrap().1
    }

    /// The check that runs is over.
    fn end(&mut self, took: Duration, check: Option<CheckResult>) -> Option<CheckResult> {
        self.now += took;
        self.watch.ended(self.now, "kept", took, check)
    }

    /// Batches run, one each millisecond, and each check at once. How many checks there were.
    fn checks(&mut self, batches: usize, took: Duration) -> usize {
        let mut checks = 0;
        for _batch in 0..batches {
            if self.batch(2) {
                self.start();
                self.end(took, Some(CheckResult::Same));
                checks += 1;
            }
            self.pass(milliseconds(1));
        }
        checks
    }
}

#[test]
fn a_batch_of_one_request_is_never_checked() {
    let mut scene = Scene::new(sentinel(20, 1));
    assert!(!scene.batch(1));
    assert!(!scene.batch(0));
    assert!(scene.batch(2));
}

#[test]
fn the_first_shared_batch_is_checked_and_one_every_ten_seconds_however_few_there_are() {
    let mut scene = Scene::new(sentinel(0, u32::MAX));
    for _check in 0..5 {
        assert!(scene.batch(2));
        scene.start();
        assert_eq!(
            scene.end(Duration::ZERO, Some(CheckResult::Same)),
            Some(CheckResult::Same)
        );
        for _second in 0..9 {
            scene.pass(SECOND);
            assert!(!scene.batch(2));
        }
        scene.pass(SECOND);
    }
}

#[test]
fn of_many_batches_one_in_so_many_is_checked_at_random() {
    let mut scene = Scene::new(sentinel(0, 100));
    let checks = scene.checks(100_000, Duration::from_micros(100));
    assert!((900..1_100).contains(&checks), "{checks}");
    let (mut scene, mut index) = (Scene::new(sentinel(0, 1)), [0; 4]);
    for _batch in 0..1_000 {
        index[scene.watch.choose(scene.now, 4).unwrap()] += 1;
    }
    assert!(
        index.iter().all(|count| (200..300).contains(count)),
        "{index:?}"
    );
}

#[test]
fn the_first_checks_follow_one_another() {
    let mut scene = Scene::new(sentinel(20, u32::MAX));
    assert_eq!(scene.checks(20, milliseconds(1)), 20);
    assert_eq!(scene.checks(100, milliseconds(1)), 0);
}

#[test]
fn at_most_one_request_is_kept() {
    let mut scene = Scene::new(sentinel(20, 1));
    assert!(scene.batch(2));
    assert!(!scene.batch(2), "one is kept");
    // Another worker was asked to keep one before this one was.
    scene.watch.keep(scene.now, "late");
    let (sample, _) = scene.watch.start_idle(scene.now).unwrap();
    assert_eq!(sample, "kept");
    assert!(!scene.batch(2), "one runs");
    scene.watch.keep(scene.now, "late");
    assert!(scene.watch.start_idle(scene.now).is_none(), "one runs");
    scene.pass(20 * SECOND);
    assert!(scene.watch.start_overdue(scene.now).is_none(), "one runs");
}

#[test]
fn checks_take_one_part_in_a_hundred_of_the_time() {
    for (took, first) in [
        (milliseconds(1), u32::MAX),
        (milliseconds(50), 0),
        (milliseconds(700), 20),
        (5 * SECOND, u32::MAX),
    ] {
        let mut scene = Scene::new(sentinel(first, 10));
        let began = scene.now;
        let (mut spent, mut checks) = (Duration::ZERO, 0);
        while scene.now < began + 3 * 3_600 * SECOND {
            if scene.batch(3) {
                scene.start();
                scene.end(took, Some(CheckResult::Same));
                (spent, checks) = (spent + took, checks + 1);
            }
            let bound = (scene.now - began) / 100 + SECOND + took;
            assert!(spent <= bound, "{spent:?} of {:?}", scene.now - began);
            scene.pass(milliseconds(50));
        }
        assert!(checks > 20, "{checks} of {took:?}");
    }
}

#[test]
fn a_night_without_requests_does_not_make_checks_denser() {
    let mut scene = Scene::new(sentinel(u32::MAX, 1));
    scene.checks(1_000, milliseconds(20));
    scene.pass(8 * 3_600 * SECOND);
    let checks = scene.checks(1_000, milliseconds(20));
    assert!((50..=52).contains(&checks), "{checks}");
}

#[test]
fn what_was_spent_on_stopped_checks_counts() {
    let mut scene = Scene::new(sentinel(0, 1));
    assert!(scene.batch(2));
    scene.start();
    assert_eq!(scene.end(3 * SECOND, None), None);
    assert!(scene.watch.start_idle(scene.now).is_none());
    let starts = scene.watch.starts(false).unwrap();
    assert_eq!(starts, scene.now + 200 * SECOND);
    scene.now = starts - milliseconds(1);
    assert!(scene.watch.start_overdue(scene.now).is_none());
    scene.now = starts;
    assert!(scene.watch.start_overdue(scene.now).is_some());
}

#[test]
fn a_check_that_waited_for_long_is_overdue_and_not_stopped() {
    for (first, patience) in [(0, 10 * SECOND), (1, SECOND)] {
        let mut scene = Scene::new(sentinel(first, 1));
        let began = scene.now;
        assert!(scene.batch(2));
        assert_eq!(scene.watch.starts(true), Some(began + patience));
        scene.now = began + patience - milliseconds(1);
        assert!(scene.watch.start_overdue(scene.now).is_none());
        scene.now = began + patience;
        assert!(scene.watch.start_overdue(scene.now).is_some());
        assert!(scene.watch.interrupt(scene.now).is_none());
        scene.pass(SECOND);
        assert!(scene.watch.interrupt(scene.now).is_none());
        let settled = scene.end(Duration::ZERO, Some(CheckResult::Same));
        assert_eq!(settled, Some(CheckResult::Same));
    }
}

#[test]
fn an_overdue_check_that_does_not_end_is_given_up() {
    let mut scene = Scene::new(sentinel(0, 1));
    assert!(scene.batch(2));
    scene.pass(10 * SECOND);
    let (_, cancel) = scene.watch.start_overdue(scene.now).unwrap();
    scene.pass(LONGEST);
    scene.watch.interrupt(scene.now).unwrap().cancel();
    assert!(cancel.is_cancelled());
    let settled = scene.watch.ended(scene.now, "kept", LONGEST, None);
    assert_eq!(settled, Some(CheckResult::Undecided));
    assert!(scene.watch.starts(false).is_none(), "nothing is kept");
}

#[test]
fn a_check_is_stopped_once_and_begins_again_but_not_for_ever() {
    let mut scene = Scene::new(sentinel(0, 1));
    let began = scene.now;
    assert!(scene.batch(2));
    assert!(
        scene.watch.interrupt(scene.now).is_none(),
        "it doesn't run yet"
    );
    for _time in 0..MAX_STOPS {
        let running = scene.start();
        let cancel = scene.watch.interrupt(scene.now).unwrap();
        assert!(scene.watch.interrupt(scene.now).is_none(), "once is enough");
        cancel.cancel();
        assert!(running.is_cancelled());
        assert_eq!(scene.end(milliseconds(10), None), None);
        assert!(!scene.batch(2), "it is still to be done");
    }
    assert!(scene.watch.start_idle(scene.now).is_none());
    assert_eq!(scene.watch.starts(false), Some(began + PATIENCE));
    scene.now = began + PATIENCE;
    assert!(scene.watch.start_overdue(scene.now).is_some());
}

#[test]
fn a_stop_that_comes_too_late_does_not_throw_the_result_away() {
    let mut scene = Scene::new(sentinel(0, 1));
    assert!(scene.batch(2));
    scene.start();
    scene.watch.interrupt(scene.now).unwrap();
    let settled = scene.end(milliseconds(10), Some(CheckResult::Different));
    assert_eq!(settled, Some(CheckResult::Different));
}

#[test]
fn a_wrong_model_is_found_within_a_minute_under_a_load_without_pauses() {
    for (first, checks) in [(0, 5), (20, 20)] {
        let mut scene = Scene::new(sentinel(first, u32::MAX));
        let (began, mut done) = (scene.now, 0);
        while scene.now < began + 60 * SECOND {
            scene.pass(milliseconds(100));
            if scene.watch.start_overdue(scene.now).is_some() {
                scene.end(milliseconds(20), Some(CheckResult::Same));
                done += 1;
            }
            scene.batch(8);
        }
        assert!(done >= checks, "{done} of {checks}");
    }
}

#[test]
fn it_says_when_a_check_can_start_if_none_can_now() {
    let mut chance = fastrand::Rng::with_seed(1);
    let mut scene = Scene::new(sentinel(50, 2));
    let mut waited = 0;
    for _step in 0..20_000 {
        scene.batch(2);
        let waits = chance.bool();
        let started = scene.watch.start_overdue(scene.now).is_some()
            || !waits && scene.watch.start_idle(scene.now).is_some();
        if started {
            assert!(scene.watch.starts(waits).is_none());
            let check = chance.bool().then_some(CheckResult::Same);
            scene.end(milliseconds(chance.u64(..300)), check);
        } else if let Some(starts) = scene.watch.starts(waits) {
            assert!(starts > scene.now, "it could have started");
            let at = |now| scene.now + now;
            assert!(starts <= at(PATIENCE).max(at(CREDIT)));
            waited += 1;
        }
        scene.pass(milliseconds(chance.u64(..2_000)));
    }
    assert!(waited > 100, "{waited}");
}

#[test]
fn given_up_it_ends_the_check_that_runs() {
    let mut scene = Scene::new(sentinel(0, 1));
    assert!(scene.batch(2));
    let running = scene.start();
    scene.watch.into_cancel_handle().unwrap().cancel();
    assert!(running.is_cancelled());
    let mut scene = Scene::new(sentinel(0, 1));
    assert!(scene.batch(2));
    assert!(scene.watch.into_cancel_handle().is_none(), "none runs");
}
