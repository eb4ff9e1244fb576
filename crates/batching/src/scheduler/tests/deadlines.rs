//! What is refused or dropped because its answer would come too late.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::scheduler::plan::delivery;

/// What a batch takes here: 10 ms, and 1 ms for each row.
fn takes(rows: usize) -> Duration {
    milliseconds(10 + rows as u64)
}

/// A machine that knows what its batches take, with batches that take just that.
struct SimulatedPod {
    scheduler: Scheduler<u8, usize>,
    now: Instant,
    /// When it had learnt what batches take.
    began: Instant,
    running: Vec<(Instant, Batch<u8, usize>)>,
    /// Of each request: when it was answered, and when it was given up.
    answered: Vec<Option<Instant>>,
    given_up: Vec<Option<Instant>>,
}

impl SimulatedPod {
    fn new(max_rows: usize, max_queue_rows: usize, workers: usize) -> Self {
        Self::of(config(Policy::AT_ONCE, max_rows, max_queue_rows), workers)
    }

    fn of(config: Config, workers: usize) -> Self {
        let max_rows = config.max_rows.get();
        let mut world = Self {
            scheduler: Scheduler::new(config, rows(workers), &[]),
            now: Instant::now(),
            began: Instant::now(),
            running: Vec::new(),
            answered: Vec::new(),
            given_up: Vec::new(),
        };
        for count in [1, max_rows].repeat(8) {
            world.push(0, count, 60_000).unwrap();
            world.pass(takes(count));
        }
        world.began = world.now;
        world.answered.clear();
        world.given_up.clear();
        world
    }

    /// Pushes a request, which becomes the next in the lists.
    fn push(&mut self, signature: u8, count: usize, lifetime: u64) -> Result<usize, Rejection> {
        let id = self.answered.len();
        let deadline = self.now + milliseconds(lifetime);
        self.scheduler
            .push(self.now, signature, rows(count), deadline, id)?;
        self.answered.push(None);
        self.given_up.push(None);
        self.settle();
        Ok(id)
    }

    fn settle(&mut self) {
        loop {
            match self.scheduler.poll(self.now) {
                Action::Run(batch) => {
                    let count = batch.entries.iter().map(Entry::rows).sum();
                    self.running.push((self.now + takes(count), batch));
                }
                Action::Expired(entries) => {
                    for entry in entries {
                        self.given_up[entry.payload] = Some(self.now);
                    }
                }
                Action::Check(_) => panic!("nothing is checked"),
                Action::Wait(_) | Action::Finished => break,
            }
        }
    }

    /// Lets so much time since its beginning pass, with as many more batches as are done.
    fn stay_full_for(&mut self, time: Duration) {
        while self.now < self.began + time {
            self.push(0, 10, 60_000).unwrap();
            self.pass(takes(10));
        }
    }

    /// Lets time pass, with the batches that end in it.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(index) = (0..self.running.len())
            .filter(|index| self.running[*index].0 <= end)
            .min_by_key(|index| self.running[*index].0)
        {
            let (ended, batch) = self.running.swap_remove(index);
            self.now = ended;
            let count = batch.entries.iter().map(Entry::rows).sum();
            for entry in answer(&mut self.scheduler, ended, batch, takes(count)) {
                self.answered[entry.payload] = Some(ended);
            }
            self.settle();
        }
        self.now = end;
        self.settle();
    }
}

#[track_caller]
fn too_late(pushed: Result<usize, Rejection>) -> (Duration, Duration) {
    match pushed {
        Err(Rejection::Overloaded {
            cause: Overload::TooLate { expected },
            retry_after,
        }) => (expected, retry_after),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_about(actual: Duration, expected: Duration) {
    assert!(
        actual.abs_diff(expected) < milliseconds(1),
        "{actual:?}, expected {expected:?}"
    );
}

#[test]
fn a_request_that_would_be_answered_too_late_is_refused_at_once() {
    let mut world = SimulatedPod::new(10, 1_000, 1);
    world.push(0, 10, 60_000).unwrap();
    for _batch in 0..9 {
        world.push(0, 10, 60_000).unwrap();
    }
    world.pass(milliseconds(5));
    // 15 ms of the running batch, 9 batches of 20 ms, and one that others will fill.
    let (expected, retry_after) = too_late(world.push(0, 1, 270));
    assert_about(expected, milliseconds(215));
    assert_about(retry_after, milliseconds(195) / 2);
    assert!(world.push(0, 1, 280).is_ok());
}

/// A hundred milliseconds, once the workers have been busy for two seconds.
const OBJECTIVE: Objective = Objective {
    latency: milliseconds(100),
    overload_after: milliseconds(2_000),
};

fn under(objective: Objective) -> SimulatedPod {
    let objective = Some(objective);
    let config = config(Policy::AT_ONCE, 10, 100_000);
    SimulatedPod::of(
        Config {
            objective,
            ..config
        },
        1,
    )
}

/// One worker, with eleven batches for it, of 20 ms each, that nobody minds to wait for.
fn with_a_long_queue() -> SimulatedPod {
    let mut world = under(OBJECTIVE);
    for _batch in 0..11 {
        world.push(0, 10, 60_000).unwrap();
    }
    world
}

#[test]
fn in_a_long_overload_requests_beyond_the_objective_are_refused() {
    let mut world = with_a_long_queue();
    world.stay_full_for(OBJECTIVE.overload_after);
    match world.push(0, 1, 60_000) {
        Err(Rejection::Overloaded {
            cause: Overload::Sustained { expected },
            retry_after,
        }) => {
            assert_about(expected, milliseconds(240));
            assert_about(retry_after, milliseconds(120));
        }
        other => panic!("{other:?}"),
    }
    // 60 ms ahead of it, a quarter of that to spare, its own batch likewise, and 5 ms to its client.
    world.pass(8 * takes(10));
    assert!(world.push(0, 10, 60_000).is_err());
    world.pass(takes(10));
    assert!(world.push(0, 10, 60_000).is_ok());
}

/// A batch has ended, and its worker tells its clients before it looks for the next one.
#[test]
fn a_worker_between_two_batches_is_not_idle() {
    let mut world = with_a_long_queue();
    while world.now < world.began + OBJECTIVE.overload_after {
        let (ends, batch) = world.running.pop().unwrap();
        world.now = ends;
        answer(&mut world.scheduler, ends, batch, takes(10));
        let deadline = ends + milliseconds(60_000);
        let pushed = world.scheduler.push(ends, 0, rows(10), deadline, 0);
        pushed.unwrap();
        world.answered.push(None);
        world.settle();
    }
    assert!(world.push(0, 1, 60_000).is_err());
}

#[test]
fn a_burst_waits_as_long_as_it_has_time() {
    let mut world = with_a_long_queue();
    world.stay_full_for(OBJECTIVE.overload_after - takes(10));
    // The worker is idle for a moment.
    world.pass(12 * takes(10));
    for _batch in 0..11 {
        world.push(0, 10, 60_000).unwrap();
    }
    world.pass(OBJECTIVE.overload_after / 10);
    assert!(world.push(0, 10, 60_000).is_ok());
}

#[test]
fn a_request_with_less_time_than_the_objective_is_held_to_its_own() {
    let mut world = with_a_long_queue();
    world.stay_full_for(OBJECTIVE.overload_after);
    too_late(world.push(0, 1, 50));
}

#[test]
fn however_short_the_objective_what_runs_at_once_or_next_is_taken() {
    let mut world = under(Objective {
        latency: milliseconds(1),
        overload_after: milliseconds(1),
    });
    for _request in 0..100 {
        // The second is the next to run.
        world.push(0, 10, 60_000).unwrap();
        world.pass(milliseconds(1));
        world.push(0, 10, 60_000).unwrap();
        assert!(world.push(0, 1, 60_000).is_err());
        world.pass(2 * takes(10));
    }
}

#[test]
fn workers_share_the_wait() {
    let mut world = SimulatedPod::new(10, 1_000, 2);
    for _batch in 0..10 {
        world.push(0, 10, 60_000).unwrap();
    }
    let (expected, retry_after) = too_late(world.push(0, 10, 100));
    assert_about(expected, milliseconds(120));
    assert_about(retry_after, milliseconds(50));
}

#[test]
fn a_full_queue_says_when_half_of_it_is_done() {
    let mut world = SimulatedPod::new(10, 100, 1);
    for _batch in 0..11 {
        world.push(0, 10, 60_000).unwrap();
    }
    match world.push(0, 1, 60_000) {
        Err(Rejection::Overloaded { cause, retry_after }) => {
            let (waiting, max) = (100, 100);
            assert_eq!(cause, Overload::QueueFull { waiting, max });
            assert_about(retry_after, milliseconds(110));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn before_anything_is_measured_only_the_rows_are_bounded() {
    let mut bench = Fixture::new(config(Policy::AT_ONCE, 4, 6), 1);
    bench.push('a', 1, "runs");
    bench.run();
    bench.push('a', 4, "waits");
    let deadline = bench.now + milliseconds(1);
    let pushed = bench
        .scheduler
        .push(bench.now, 'a', rows(1), deadline, "short");
    assert!(pushed.is_ok());
    match bench.try_push('a', 2, "more") {
        Err(Rejection::Overloaded { retry_after, .. }) => {
            assert_eq!(retry_after, milliseconds(1_000));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_worker_runs_even_what_is_said_to_take_too_long() {
    let mut world = SimulatedPod::new(10, 100, 1);
    let id = world.push(0, 5, 3).unwrap();
    world.pass(takes(5));
    assert!(
        world.answered[id].is_some(),
        "and what it takes is measured"
    );
}

#[test]
fn a_request_that_got_too_late_for_its_run_is_dropped_before_it() {
    let mut bench = Fixture::new(config(Policy::AT_ONCE, 10, 100), 1);
    bench.push('a', 1, "runs");
    let blocker = bench.run();
    let deadline = bench.now + milliseconds(30);
    bench
        .scheduler
        .push(bench.now, 'a', rows(1), deadline, "short")
        .unwrap();
    bench.push('a', 1, "long");
    // Nothing was known at the push; now batches are known to take 20 ms.
    bench.pass(15);
    for _batch in 0..8 {
        bench.measure(1, milliseconds(20));
    }
    bench.scheduler.skipped(blocker.run);
    match bench.scheduler.poll(bench.now) {
        Action::Expired(dropped) => assert_eq!(names(&dropped), ["short"]),
        step => panic!("{step:?}"),
    }
    assert_eq!(bench.run_names(), ["long"]);
}

#[test]
fn a_batch_is_smaller_rather_than_late_where_nothing_is_left_behind() {
    let mut world = SimulatedPod::new(10, 100, 1);
    world.push(0, 10, 60_000).unwrap();
    let short = world.push(0, 1, 55).unwrap();
    let long = world.push(0, 8, 60_000).unwrap();
    world.pass(milliseconds(40));
    // Together 19 ms, with 35 ms left.
    assert_eq!(world.answered[short], world.answered[long]);
    world.push(0, 1, 60_000).unwrap();
    world.pass(milliseconds(2));
    let short = world.push(0, 1, 28).unwrap();
    let long = world.push(0, 9, 60_000).unwrap();
    world.pass(milliseconds(60));
    // Together 20 ms, with 19 or so left.
    assert!(world.answered[short] < world.answered[long]);
    assert_eq!(world.given_up, [None; 6]);
}

#[test]
fn with_more_behind_it_a_batch_is_full_rather_than_small_for_a_request_that_is_late() {
    let mut world = SimulatedPod::new(10, 100, 1);
    world.push(0, 1, 60_000).unwrap();
    world.pass(milliseconds(2));
    let short = world.push(0, 1, 28).unwrap();
    let long = world.push(0, 10, 60_000).unwrap();
    world.pass(milliseconds(9));
    // Alone it would take 11 ms, with 19 ms left.
    assert_eq!(world.given_up[short], Some(world.now));
    world.pass(takes(10));
    assert_eq!(world.answered[long], Some(world.now));
}

#[test]
fn a_batch_takes_at_most_half_of_the_time_that_its_requests_had() {
    let mut bench = Fixture::new(config(Policy::AT_ONCE, 10, 100), 1);
    bench.push('a', 1, "runs");
    let blocker = bench.run();
    // Nothing is known yet.
    for _request in 0..9 {
        bench.push('a', 1, "has a second");
    }
    for count in [1, 4].repeat(4) {
        bench.measure(count, milliseconds(99 * count as u64));
    }
    bench.scheduler.skipped(blocker.run);
    assert_eq!(bench.run().entries.len(), 5);
}

#[test]
fn one_slow_first_batch_drops_nobody() {
    let mut bench = Fixture::new(config(Policy::AT_ONCE, 4, 1_000), 1);
    let lifetime = milliseconds(12_000);
    let push = |bench: &mut Fixture| {
        let deadline = bench.now + lifetime;
        bench.scheduler.push(bench.now, 'a', rows(1), deadline, "")
    };
    push(&mut bench).unwrap();
    let slow = bench.run();
    for _request in 0..100 {
        push(&mut bench).unwrap();
        bench.pass(100);
    }
    answer(&mut bench.scheduler, bench.now, slow, milliseconds(10_000));
    let mut answered = 0;
    while let Action::Run(batch) = bench.scheduler.poll(bench.now) {
        answered += batch.entries.len();
        bench.pass(1);
        answer(&mut bench.scheduler, bench.now, batch, milliseconds(1));
    }
    assert_eq!(answered, 100);
    push(&mut bench).unwrap();
    bench.run();
    let deadline = bench.now + milliseconds(50);
    let pushed = bench.scheduler.push(bench.now, 'a', rows(1), deadline, "");
    assert!(pushed.is_ok(), "it is forgotten");
}

#[test]
fn too_high_an_estimate_does_not_refuse_for_ever() {
    let mut bench = Fixture::new(config(Policy::AT_ONCE, 10, 100), 1);
    for _batch in 0..50 {
        bench.measure(1, milliseconds(100_000));
    }
    let mut answered = 0;
    // Clients that try every millisecond, with batches that in truth take 2 ms.
    for _millisecond in 0..100 {
        let _maybe_refused = bench.try_push('a', 1, "tries");
        while bench.scheduler.has_idle_worker() && bench.scheduler.waiting_rows() > 0 {
            if let Action::Run(batch) = bench.scheduler.poll(bench.now) {
                bench.now += milliseconds(2);
                answered += answer(&mut bench.scheduler, bench.now, batch, milliseconds(2)).len();
            }
        }
        bench.pass(1);
    }
    assert_eq!(answered, 100);
}

proptest! {
    /// With batches that take what they are known to take.
    #[test]
    fn deadlines_are_kept_and_nothing_is_dropped_that_could_be_answered(
        workers in 1_usize..4,
        events in vec((0_u8..2, 1_usize..8, 5_u64..200, 0_u64..12), 1..120),
    ) {
        let (max_rows, slack) = (8, Duration::from_micros(10));
        let mut world = SimulatedPod::new(max_rows, 60, workers);
        let mut pushed = Vec::new();
        for (signature, count, lifetime, pause) in events {
            let deadline = world.now + milliseconds(lifetime);
            let idle = world.scheduler.has_idle_worker();
            match world.push(signature, count, lifetime) {
                Ok(_id) => pushed.push((count, lifetime, deadline)),
                Err(_rejection) => prop_assert!(!idle, "an idle worker refused"),
            }
            world.pass(milliseconds(pause));
        }
        world.pass(milliseconds(10_000));
        for (id, (count, lifetime, deadline)) in pushed.into_iter().enumerate() {
            match (world.answered[id], world.given_up[id]) {
                (Some(answered), None) => {
                    let too_late = milliseconds(lifetime) < takes(count) + slack;
                    prop_assert!(too_late || answered <= deadline + slack);
                }
                (None, Some(given_up)) => {
                    let left = deadline.saturating_duration_since(given_up);
                    let needed = takes(max_rows) + delivery(milliseconds(lifetime));
                    prop_assert!(left < needed + slack, "{:?} were left", left);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
