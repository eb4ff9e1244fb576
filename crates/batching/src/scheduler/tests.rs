mod checks;
mod deadlines;
mod lanes;
mod overload;
mod properties;
mod simulation;

use std::collections::VecDeque;

use super::*;

fn rows(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn config(policy: Policy, max_rows: usize, max_queue_rows: usize) -> Config {
    Config {
        policy,
        max_rows: rows(max_rows),
        max_queue_rows: rows(max_queue_rows),
        sharing: Sharing::Unchecked,
        objective: None,
    }
}

/// A machine with its clock, whose payloads are names.
struct Fixture {
    scheduler: Scheduler<char, &'static str>,
    now: Instant,
    running: VecDeque<RunId>,
}

impl Fixture {
    fn new(config: Config, workers: usize) -> Self {
        Self {
            scheduler: Scheduler::new(config, rows(workers), &[]),
            now: Instant::now(),
            running: VecDeque::new(),
        }
    }

    fn push(&mut self, signature: char, count: usize, name: &'static str) -> Ticket {
        self.try_push(signature, count, name).unwrap()
    }

    fn try_push(
        &mut self,
        signature: char,
        count: usize,
        name: &'static str,
    ) -> Result<Ticket, Rejection> {
        let deadline = self.now + milliseconds(1_000);
        self.scheduler
            .push(self.now, signature, rows(count), deadline, name)
    }

    fn pass(&mut self, time: u64) {
        self.now += milliseconds(time);
    }

    fn run(&mut self) -> Batch<char, &'static str> {
        match self.scheduler.poll(self.now) {
            Action::Run(batch) => {
                self.running.push_back(batch.run);
                batch
            }
            step => panic!("expected a batch, got {step:?}"),
        }
    }

    /// Ends the batch that has run longest, without a measurement.
    fn finish(&mut self) {
        let run = self.running.pop_front().unwrap();
        self.scheduler.skipped(run);
    }

    /// So many rows ran in so much time, whosever they were.
    fn measure(&mut self, rows: usize, took: Duration) {
        let run = self.scheduler.runs.begin(Vec::new(), self.now, self.now).0;
        let measured = BatchLatency { rows, took };
        self.scheduler
            .succeeded(self.now, run, measured, Vec::new());
    }

    fn run_names(&mut self) -> Vec<&'static str> {
        names(&self.run().entries)
    }

    fn wait(&mut self) -> Option<Duration> {
        match self.scheduler.poll(self.now) {
            Action::Wait(until) => until.map(|until| until - self.now),
            step => panic!("expected to wait, got {step:?}"),
        }
    }
}

/// A batch runs well, and all of its requests are answered.
fn answer<K: Clone + Eq + Hash, T>(
    scheduler: &mut Scheduler<K, T>,
    now: Instant,
    batch: Batch<K, T>,
    took: Duration,
) -> Vec<Entry<K, T>> {
    let rows = batch.entries.iter().map(Entry::rows).sum();
    let measured = BatchLatency { rows, took };
    match scheduler.succeeded(now, batch.run, measured, batch.entries) {
        Outputs::Give { batch, keep: None } => batch,
        Outputs::Give { keep: Some(_), .. } | Outputs::Drop => {
            panic!("nothing is checked or alone")
        }
    }
}

fn names(batch: &[Entry<char, &'static str>]) -> Vec<&'static str> {
    batch.iter().map(|entry| entry.payload).collect()
}

#[test]
fn an_idle_worker_runs_a_lone_request_at_once() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 32, 1_024), 1);
    fixture.push('a', 1, "lone");
    assert_eq!(fixture.run_names(), ["lone"]);
    assert_eq!(fixture.scheduler.waiting_rows(), 0);
}

#[test]
fn the_batch_grows_while_the_worker_is_busy() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 32, 1_024), 1);
    fixture.push('a', 1, "first");
    fixture.run();
    fixture.push('a', 1, "second");
    fixture.push('a', 3, "third");
    assert_eq!(
        fixture.wait(),
        Some(milliseconds(1_000)),
        "only the deadline is to come"
    );
    fixture.finish();
    assert_eq!(fixture.run_names(), ["second", "third"]);
}

#[test]
fn every_idle_worker_gets_a_batch() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 2, 1_024), 2);
    for name in ["a", "b", "c", "d", "e"] {
        fixture.push('s', 1, name);
    }
    assert_eq!(fixture.run_names(), ["a", "b"]);
    assert_eq!(fixture.run_names(), ["c", "d"]);
    assert!(fixture.wait().is_some());
    fixture.finish();
    assert_eq!(fixture.run_names(), ["e"]);
}

#[test]
fn rows_are_capped_not_requests_and_nobody_overtakes() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 4, 1_024), 1);
    fixture.push('a', 3, "three");
    fixture.push('a', 2, "two");
    fixture.push('a', 1, "would fit beside three");
    assert_eq!(fixture.run_names(), ["three"]);
    fixture.finish();
    assert_eq!(fixture.run_names(), ["two", "would fit beside three"]);
}

#[test]
fn a_request_larger_than_a_batch_is_refused() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 4, 1_024), 1);
    assert_eq!(
        fixture.try_push('a', 5, "large"),
        Err(Rejection::TooManyRows { rows: 5, max: 4 })
    );
    assert_eq!(fixture.scheduler.waiting_rows(), 0);
}

#[test]
fn the_queue_is_bounded_by_rows() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 4, 6), 1);
    fixture.push('a', 1, "runs");
    fixture.run();
    fixture.push('a', 4, "four");
    fixture.push('a', 2, "two");
    assert_eq!(
        fixture.try_push('a', 1, "more"),
        Err(Rejection::Overloaded {
            cause: Overload::QueueFull { waiting: 6, max: 6 },
            retry_after: Duration::from_secs(1)
        })
    );
    fixture.finish();
    fixture.run();
    assert!(fixture.try_push('a', 4, "room again").is_ok());
}

#[test]
fn an_empty_queue_takes_what_one_batch_can_hold() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 8, 2), 1);
    fixture.push('a', 8, "larger than the queue");
    assert_eq!(
        fixture.try_push('a', 1, "more"),
        Err(Rejection::Overloaded {
            cause: Overload::QueueFull { waiting: 8, max: 2 },
            retry_after: Duration::from_secs(1)
        })
    );
}

#[test]
fn signatures_never_share_a_batch_and_the_oldest_goes_first() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 32, 1_024), 1);
    fixture.push('x', 1, "x1");
    fixture.push('y', 1, "y1");
    fixture.push('x', 1, "x2");
    fixture.push('y', 1, "y2");
    assert_eq!(fixture.run_names(), ["x1", "x2"]);
    fixture.finish();
    assert_eq!(fixture.run_names(), ["y1", "y2"]);
}

#[test]
fn a_window_waits_for_its_time() {
    let mut fixture = Fixture::new(config(Policy::Window(milliseconds(50)), 32, 1_024), 1);
    fixture.push('a', 1, "first");
    assert_eq!(fixture.wait(), Some(milliseconds(50)));
    fixture.pass(30);
    fixture.push('a', 1, "second");
    assert_eq!(fixture.wait(), Some(milliseconds(20)));
    fixture.pass(20);
    assert_eq!(fixture.run_names(), ["first", "second"]);
}

#[test]
fn a_window_runs_what_is_full_at_once() {
    let mut fixture = Fixture::new(config(Policy::Window(milliseconds(50)), 4, 1_024), 2);
    fixture.push('x', 1, "x1");
    fixture.push('y', 2, "y1");
    fixture.push('y', 2, "y2");
    fixture.push('y', 1, "y3");
    assert_eq!(
        fixture.run_names(),
        ["y1", "y2"],
        "an odd shape doesn't hold the rest up"
    );
    assert_eq!(fixture.wait(), Some(milliseconds(50)));
    fixture.push('x', 4, "doesn't fit beside x1");
    assert_eq!(fixture.run_names(), ["x1"]);
}

#[test]
fn a_window_with_busy_workers_waits_for_them() {
    let mut fixture = Fixture::new(config(Policy::Window(milliseconds(50)), 2, 1_024), 1);
    fixture.push('a', 2, "runs");
    fixture.run();
    fixture.push('a', 2, "full");
    fixture.pass(60);
    assert_eq!(
        fixture.wait(),
        Some(milliseconds(940)),
        "only the deadline is to come"
    );
    fixture.finish();
    assert_eq!(fixture.run_names(), ["full"]);
}

#[test]
fn expired_requests_never_run() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 32, 1_024), 1);
    fixture.push('a', 1, "runs");
    fixture.run();
    fixture.push('a', 2, "expires");
    fixture.pass(500);
    fixture.push('a', 1, "lives");
    fixture.pass(500);
    match fixture.scheduler.poll(fixture.now) {
        Action::Expired(expired) => assert_eq!(names(&expired), ["expires"]),
        step => panic!("{step:?}"),
    }
    assert_eq!(fixture.scheduler.waiting_rows(), 1);
    fixture.finish();
    assert_eq!(fixture.run_names(), ["lives"]);
}

#[test]
fn a_cancelled_request_leaves_the_queue_once() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 32, 1_024), 1);
    let running = fixture.push('a', 1, "runs");
    fixture.run();
    let waiting = fixture.push('a', 4, "waits");
    match fixture.scheduler.cancel(waiting) {
        Cancelled::Waiting(entry) => assert_eq!(entry.payload, "waits"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(fixture.scheduler.cancel(waiting), Cancelled::Over));
    assert_eq!(fixture.scheduler.waiting_rows(), 0);
    assert_eq!(fixture.wait(), None, "its deadline went with it");
    fixture.finish();
    assert!(matches!(fixture.scheduler.cancel(running), Cancelled::Over));
}

#[test]
fn a_batch_is_to_be_stopped_when_the_last_of_its_clients_leaves() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 32, 1_024), 1);
    let tickets = ["a", "b"].map(|name| fixture.push('s', 1, name));
    let cancel = fixture.run().cancel;
    assert!(matches!(
        fixture.scheduler.cancel(tickets[1]),
        Cancelled::Running(None)
    ));
    assert!(matches!(
        fixture.scheduler.cancel(tickets[1]),
        Cancelled::Over
    ));
    match fixture.scheduler.cancel(tickets[0]) {
        Cancelled::Running(Some(last)) => last.cancel(),
        other => panic!("{other:?}"),
    }
    assert!(cancel.is_cancelled());
    assert!(!fixture.scheduler.has_idle_worker(), "until it has stopped");
    fixture.finish();
    assert!(fixture.scheduler.has_idle_worker());
}

#[test]
fn who_left_a_batch_does_not_run_again_when_it_fails() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 32, 1_024), 1);
    let tickets = ["a", "gone", "c"].map(|name| fixture.push('s', 1, name));
    let batch = fixture.run();
    fixture.scheduler.cancel(tickets[1]);
    assert!(fixture.scheduler.failed(batch.run, batch.entries).is_none());
    assert_eq!(fixture.scheduler.waiting_rows(), 2);
    assert_eq!(fixture.run_names(), ["a"]);
    fixture.running.pop_front();
    fixture.finish();
    assert_eq!(fixture.run_names(), ["c"]);
}

#[test]
fn a_failed_batch_is_halved_until_one_is_to_blame() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 32, 1_024), 1);
    for name in ["a", "b", "poison", "d", "e"] {
        fixture.push('s', 1, name);
    }
    fixture.run_and_return_if_poisoned();
    fixture.push('s', 1, "later");
    let mut ran = Vec::new();
    let mut blamed = Vec::new();
    while let Action::Run(batch) = fixture.scheduler.poll(fixture.now) {
        if names(&batch.entries).contains(&"poison") {
            let to_blame = fixture.scheduler.failed(batch.run, batch.entries);
            blamed.extend(to_blame.map(|entry| entry.payload));
        } else {
            ran.push(names(&batch.entries));
            fixture.scheduler.skipped(batch.run);
        }
    }
    assert_eq!(blamed, ["poison"]);
    assert_eq!(
        ran,
        [vec!["a", "b"], vec!["d", "e"], vec!["later"]],
        "halves keep to themselves"
    );
}

impl Fixture {
    fn run_and_return_if_poisoned(&mut self) {
        let batch = self.run();
        assert!(names(&batch.entries).contains(&"poison"));
        assert!(self.scheduler.failed(batch.run, batch.entries).is_none());
    }
}

#[test]
fn halves_of_a_failed_batch_do_not_wait_for_a_window() {
    let mut fixture = Fixture::new(config(Policy::Window(milliseconds(50)), 2, 1_024), 1);
    fixture.push('a', 1, "a");
    fixture.push('a', 1, "b");
    let batch = fixture.run();
    assert!(fixture.scheduler.failed(batch.run, batch.entries).is_none());
    assert_eq!(fixture.run_names(), ["a"]);
}

#[test]
fn flushing_ends_the_window_for_those_that_wait_and_those_that_come() {
    let mut fixture = Fixture::new(config(Policy::Window(milliseconds(50)), 32, 1_024), 1);
    fixture.push('a', 1, "waits");
    assert!(fixture.wait().is_some());
    fixture.scheduler.flush();
    assert_eq!(fixture.run_names(), ["waits"]);
    fixture.finish();
    fixture.push('a', 1, "comes");
    assert_eq!(fixture.run_names(), ["comes"]);
}

#[test]
fn closing_refuses_new_requests_and_runs_the_queue_at_once() {
    let mut fixture = Fixture::new(config(Policy::Window(milliseconds(50)), 32, 1_024), 1);
    fixture.push('a', 1, "accepted");
    fixture.scheduler.close();
    assert_eq!(fixture.try_push('a', 1, "late"), Err(Rejection::Closed));
    assert_eq!(fixture.run_names(), ["accepted"]);
    assert_eq!(fixture.wait(), None, "not finished while a batch runs");
    fixture.finish();
    assert!(matches!(
        fixture.scheduler.poll(fixture.now),
        Action::Finished
    ));
}

#[test]
fn the_last_deadline_of_all_runs_is_known_while_no_worker_is_idle() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 4, 8), 2);
    assert_eq!(fixture.scheduler.last_deadline(), None);
    fixture.push('a', 1, "first");
    fixture.run();
    assert_eq!(fixture.scheduler.last_deadline(), None, "a worker is idle");
    fixture.pass(10);
    let ticket = fixture.push('a', 1, "second");
    fixture.run();
    let last = fixture.now + milliseconds(1_000);
    assert_eq!(fixture.scheduler.last_deadline(), Some(last));
    fixture.scheduler.cancel(ticket);
    fixture.pass(5_000);
    assert_eq!(fixture.scheduler.last_deadline(), Some(last));
    fixture.finish();
    assert_eq!(fixture.scheduler.last_deadline(), None, "a worker is idle");
}
