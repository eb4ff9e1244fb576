//! What is refused or dropped because its answer would come too late.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::scheduler::plan::delivery;

/// What a batch takes here: 10 ms, and 1 ms for each row.
fn takes(rows: usize) -> Duration {
    milliseconds(10 + rows as u64)
}

/// A scheduler that has learned the duration of its batches, with batches of that duration.
struct SimulatedPod {
    scheduler: Scheduler<u8, usize>,
    now: Instant,
    /// The time when it had learned the duration of batches.
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
        let mut pod = Self {
            scheduler: Scheduler::new(config, rows(workers), &[]),
            now: Instant::now(),
            began: Instant::now(),
            running: Vec::new(),
            answered: Vec::new(),
            given_up: Vec::new(),
        };
        for count in [1, max_rows].repeat(8) {
            pod.push(0, count, 60_000).unwrap();
            pod.pass(takes(count));
        }
        pod.began = pod.now;
        pod.answered.clear();
        pod.given_up.clear();
        pod
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
    let mut pod = SimulatedPod::new(10, 1_000, 1);
    pod.push(0, 10, 60_000).unwrap();
    for _batch in 0..9 {
        pod.push(0, 10, 60_000).unwrap();
    }
    pod.pass(milliseconds(5));
    // 15 ms of the running batch, 9 batches of 20 ms, and one that others will fill.
    let (expected, retry_after) = too_late(pod.push(0, 1, 270));
    assert_about(expected, milliseconds(215));
    assert_about(retry_after, milliseconds(195) / 2);
    assert!(pod.push(0, 1, 280).is_ok());
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

/// One worker with eleven batches of 20 ms each, whose requests have long deadlines.
fn with_a_long_queue() -> SimulatedPod {
    let mut pod = under(OBJECTIVE);
    for _batch in 0..11 {
        pod.push(0, 10, 60_000).unwrap();
    }
    pod
}

#[test]
fn in_a_long_overload_requests_beyond_the_objective_are_refused() {
    let mut pod = with_a_long_queue();
    pod.stay_full_for(OBJECTIVE.overload_after);
    match pod.push(0, 1, 60_000) {
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
    pod.pass(8 * takes(10));
    assert!(pod.push(0, 10, 60_000).is_err());
    pod.pass(takes(10));
    assert!(pod.push(0, 10, 60_000).is_ok());
}

/// A batch has ended, and its worker sends the responses before it asks for the next batch.
#[test]
fn a_worker_between_two_batches_is_not_idle() {
    let mut pod = with_a_long_queue();
    while pod.now < pod.began + OBJECTIVE.overload_after {
        let (ends, batch) = pod.running.pop().unwrap();
        pod.now = ends;
        answer(&mut pod.scheduler, ends, batch, takes(10));
        let deadline = ends + milliseconds(60_000);
        let pushed = pod.scheduler.push(ends, 0, rows(10), deadline, 0);
        pushed.unwrap();
        pod.answered.push(None);
        pod.settle();
    }
    assert!(pod.push(0, 1, 60_000).is_err());
}

#[test]
fn a_burst_waits_as_long_as_it_has_time() {
    let mut pod = with_a_long_queue();
    pod.stay_full_for(OBJECTIVE.overload_after - takes(10));
    // The worker is idle for a moment.
    pod.pass(12 * takes(10));
    for _batch in 0..11 {
        pod.push(0, 10, 60_000).unwrap();
    }
    pod.pass(OBJECTIVE.overload_after / 10);
    assert!(pod.push(0, 10, 60_000).is_ok());
}

#[test]
fn a_request_with_less_time_than_the_objective_is_held_to_its_own() {
    let mut pod = with_a_long_queue();
    pod.stay_full_for(OBJECTIVE.overload_after);
    too_late(pod.push(0, 1, 50));
}

#[test]
fn however_short_the_objective_what_runs_at_once_or_next_is_taken() {
    let mut pod = under(Objective {
        latency: milliseconds(1),
        overload_after: milliseconds(1),
    });
    for _request in 0..100 {
        // The second is the next to run.
        pod.push(0, 10, 60_000).unwrap();
        pod.pass(milliseconds(1));
        pod.push(0, 10, 60_000).unwrap();
        assert!(pod.push(0, 1, 60_000).is_err());
        pod.pass(2 * takes(10));
    }
}

#[test]
fn workers_share_the_wait() {
    let mut pod = SimulatedPod::new(10, 1_000, 2);
    for _batch in 0..10 {
        pod.push(0, 10, 60_000).unwrap();
    }
    let (expected, retry_after) = too_late(pod.push(0, 10, 100));
    assert_about(expected, milliseconds(120));
    assert_about(retry_after, milliseconds(50));
}

#[test]
fn a_full_queue_says_when_half_of_it_is_done() {
    let mut pod = SimulatedPod::new(10, 100, 1);
    for _batch in 0..11 {
        pod.push(0, 10, 60_000).unwrap();
    }
    match pod.push(0, 1, 60_000) {
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
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 4, 6), 1);
    fixture.push('a', 1, "runs");
    fixture.run();
    fixture.push('a', 4, "waits");
    let deadline = fixture.now + milliseconds(1);
    let pushed = fixture
        .scheduler
        .push(fixture.now, 'a', rows(1), deadline, "short");
    assert!(pushed.is_ok());
    match fixture.try_push('a', 2, "more") {
        Err(Rejection::Overloaded { retry_after, .. }) => {
            assert_eq!(retry_after, milliseconds(1_000));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_worker_runs_even_what_is_said_to_take_too_long() {
    let mut pod = SimulatedPod::new(10, 100, 1);
    let id = pod.push(0, 5, 3).unwrap();
    pod.pass(takes(5));
    assert!(pod.answered[id].is_some(), "and what it takes is measured");
}

#[test]
fn a_request_that_got_too_late_for_its_run_is_dropped_before_it() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 10, 100), 1);
    fixture.push('a', 1, "runs");
    let blocker = fixture.run();
    let deadline = fixture.now + milliseconds(30);
    fixture
        .scheduler
        .push(fixture.now, 'a', rows(1), deadline, "short")
        .unwrap();
    fixture.push('a', 1, "long");
    // Nothing was known at the push; now batches are known to take 20 ms.
    fixture.pass(15);
    for _batch in 0..8 {
        fixture.measure(1, milliseconds(20));
    }
    fixture.scheduler.skipped(blocker.run);
    match fixture.scheduler.poll(fixture.now) {
        Action::Expired(dropped) => assert_eq!(names(&dropped), ["short"]),
        step => panic!("{step:?}"),
    }
    assert_eq!(fixture.run_names(), ["long"]);
}

#[test]
fn a_batch_is_smaller_rather_than_late_where_nothing_is_left_behind() {
    let mut pod = SimulatedPod::new(10, 100, 1);
    pod.push(0, 10, 60_000).unwrap();
    let short = pod.push(0, 1, 55).unwrap();
    let long = pod.push(0, 8, 60_000).unwrap();
    pod.pass(milliseconds(40));
    // Together 19 ms, with 35 ms left.
    assert_eq!(pod.answered[short], pod.answered[long]);
    pod.push(0, 1, 60_000).unwrap();
    pod.pass(milliseconds(2));
    let short = pod.push(0, 1, 28).unwrap();
    let long = pod.push(0, 9, 60_000).unwrap();
    pod.pass(milliseconds(60));
    // Together 20 ms, with 19 or so left.
    assert!(pod.answered[short] < pod.answered[long]);
    assert_eq!(pod.given_up, [None; 6]);
}

#[test]
fn with_more_behind_it_a_batch_is_full_rather_than_small_for_a_request_that_is_late() {
    let mut pod = SimulatedPod::new(10, 100, 1);
    pod.push(0, 1, 60_000).unwrap();
    pod.pass(milliseconds(2));
    let short = pod.push(0, 1, 28).unwrap();
    let long = pod.push(0, 10, 60_000).unwrap();
    pod.pass(milliseconds(9));
    // Alone it would take 11 ms, with 19 ms left.
    assert_eq!(pod.given_up[short], Some(pod.now));
    pod.pass(takes(10));
    assert_eq!(pod.answered[long], Some(pod.now));
}

#[test]
fn a_batch_takes_at_most_half_of_the_time_that_its_requests_had() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 10, 100), 1);
    fixture.push('a', 1, "runs");
    let blocker = fixture.run();
    // Nothing is known yet.
    for _request in 0..9 {
        fixture.push('a', 1, "has a second");
    }
    for count in [1, 4].repeat(4) {
        fixture.measure(count, milliseconds(99 * count as u64));
    }
    fixture.scheduler.skipped(blocker.run);
    assert_eq!(fixture.run().entries.len(), 5);
}

#[test]
fn one_slow_first_batch_drops_nobody() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 4, 1_000), 1);
    let lifetime = milliseconds(12_000);
    let push = |fixture: &mut Fixture| {
        let deadline = fixture.now + lifetime;
        fixture
            .scheduler
            .push(fixture.now, 'a', rows(1), deadline, "")
    };
    push(&mut fixture).unwrap();
    let slow = fixture.run();
    for _request in 0..100 {
        push(&mut fixture).unwrap();
        fixture.pass(100);
    }
    answer(
        &mut fixture.scheduler,
        fixture.now,
        slow,
        milliseconds(10_000),
    );
    let mut answered = 0;
    while let Action::Run(batch) = fixture.scheduler.poll(fixture.now) {
        answered += batch.entries.len();
        fixture.pass(1);
        answer(&mut fixture.scheduler, fixture.now, batch, milliseconds(1));
    }
    assert_eq!(answered, 100);
    push(&mut fixture).unwrap();
    fixture.run();
    let deadline = fixture.now + milliseconds(50);
    let pushed = fixture
        .scheduler
        .push(fixture.now, 'a', rows(1), deadline, "");
    assert!(pushed.is_ok(), "it is forgotten");
}

#[test]
fn too_high_an_estimate_does_not_refuse_for_ever() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 10, 100), 1);
    for _batch in 0..50 {
        fixture.measure(1, milliseconds(100_000));
    }
    let mut answered = 0;
    // Clients that try every millisecond, with batches that in truth take 2 ms.
    for _millisecond in 0..100 {
        let _maybe_refused = fixture.try_push('a', 1, "tries");
        while fixture.scheduler.has_idle_worker() && fixture.scheduler.waiting_rows() > 0 {
            if let Action::Run(batch) = fixture.scheduler.poll(fixture.now) {
                fixture.now += milliseconds(2);
                answered +=
                    answer(&mut fixture.scheduler, fixture.now, batch, milliseconds(2)).len();
            }
        }
        fixture.pass(1);
    }
    assert_eq!(answered, 100);
}

proptest! {
    /// With batches of the learned duration.
    #[test]
    fn deadlines_are_kept_and_nothing_is_dropped_that_could_be_answered(
        workers in 1_usize..4,
        events in vec((0_u8..2, 1_usize..8, 5_u64..200, 0_u64..12), 1..120),
    ) {
        let (max_rows, slack) = (8, Duration::from_micros(10));
        let mut pod = SimulatedPod::new(max_rows, 60, workers);
        let mut pushed = Vec::new();
        for (signature, count, lifetime, pause) in events {
            let deadline = pod.now + milliseconds(lifetime);
            let idle = pod.scheduler.has_idle_worker();
            match pod.push(signature, count, lifetime) {
                Ok(_id) => pushed.push((count, lifetime, deadline)),
                Err(_rejection) => prop_assert!(!idle, "an idle worker refused"),
            }
            pod.pass(milliseconds(pause));
        }
        pod.pass(milliseconds(10_000));
        for (id, (count, lifetime, deadline)) in pushed.into_iter().enumerate() {
            match (pod.answered[id], pod.given_up[id]) {
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
