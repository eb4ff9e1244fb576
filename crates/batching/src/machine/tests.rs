use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn rows(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn config(policy: Policy, max_rows: usize, max_queue_rows: usize) -> Config {
    Config {
        policy,
        max_rows: rows(max_rows),
        max_queue_rows: rows(max_queue_rows),
    }
}

/// A machine with its clock, whose payloads are names.
struct Bench {
    machine: Machine<char, &'static str>,
    now: Instant,
}

impl Bench {
    fn new(config: Config, workers: usize) -> Self {
        Self {
            machine: Machine::new(config, rows(workers)),
            now: Instant::now(),
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
        self.machine
            .push(self.now, signature, rows(count), deadline, name)
    }

    fn pass(&mut self, time: u64) {
        self.now += milliseconds(time);
    }

    fn run(&mut self) -> Vec<Entry<char, &'static str>> {
        match self.machine.poll(self.now) {
            Step::Run(batch) => batch,
            step => panic!("expected a batch, got {step:?}"),
        }
    }

    fn run_names(&mut self) -> Vec<&'static str> {
        names(&self.run())
    }

    fn wait(&mut self) -> Option<Duration> {
        match self.machine.poll(self.now) {
            Step::Wait(until) => until.map(|until| until - self.now),
            step => panic!("expected to wait, got {step:?}"),
        }
    }
}

fn names(batch: &[Entry<char, &'static str>]) -> Vec<&'static str> {
    batch.iter().map(|entry| entry.payload).collect()
}

#[test]
fn an_idle_worker_runs_a_lone_request_at_once() {
    let mut bench = Bench::new(config(AT_ONCE, 32, 1_024), 1);
    bench.push('a', 1, "lone");
    assert_eq!(bench.run_names(), ["lone"]);
    assert_eq!(bench.machine.waiting_rows(), 0);
}

#[test]
fn the_batch_grows_while_the_worker_is_busy() {
    let mut bench = Bench::new(config(AT_ONCE, 32, 1_024), 1);
    bench.push('a', 1, "first");
    bench.run();
    bench.push('a', 1, "second");
    bench.push('a', 3, "third");
    assert_eq!(
        bench.wait(),
        Some(milliseconds(1_000)),
        "only the deadline is to come"
    );
    bench.machine.succeeded();
    assert_eq!(bench.run_names(), ["second", "third"]);
}

#[test]
fn every_idle_worker_gets_a_batch() {
    let mut bench = Bench::new(config(AT_ONCE, 2, 1_024), 2);
    for name in ["a", "b", "c", "d", "e"] {
        bench.push('s', 1, name);
    }
    assert_eq!(bench.run_names(), ["a", "b"]);
    assert_eq!(bench.run_names(), ["c", "d"]);
    assert!(bench.wait().is_some());
    bench.machine.succeeded();
    assert_eq!(bench.run_names(), ["e"]);
}

#[test]
fn rows_are_capped_not_requests_and_nobody_overtakes() {
    let mut bench = Bench::new(config(AT_ONCE, 4, 1_024), 1);
    bench.push('a', 3, "three");
    bench.push('a', 2, "two");
    bench.push('a', 1, "would fit beside three");
    assert_eq!(bench.run_names(), ["three"]);
    bench.machine.succeeded();
    assert_eq!(bench.run_names(), ["two", "would fit beside three"]);
}

#[test]
fn a_request_larger_than_a_batch_is_refused() {
    let mut bench = Bench::new(config(AT_ONCE, 4, 1_024), 1);
    assert_eq!(
        bench.try_push('a', 5, "large"),
        Err(Rejection::TooManyRows { rows: 5, max: 4 })
    );
    assert_eq!(bench.machine.waiting_rows(), 0);
}

#[test]
fn the_queue_is_bounded_by_rows() {
    let mut bench = Bench::new(config(AT_ONCE, 4, 6), 1);
    bench.push('a', 1, "runs");
    bench.run();
    bench.push('a', 4, "four");
    bench.push('a', 2, "two");
    assert_eq!(
        bench.try_push('a', 1, "more"),
        Err(Rejection::Overloaded {
            cause: Overload::QueueFull { waiting: 6, max: 6 },
            retry_after: Duration::from_secs(1)
        })
    );
    bench.machine.succeeded();
    bench.run();
    assert!(bench.try_push('a', 4, "room again").is_ok());
}

#[test]
fn an_empty_queue_takes_what_one_batch_can_hold() {
    let mut bench = Bench::new(config(AT_ONCE, 8, 2), 1);
    bench.push('a', 8, "larger than the queue");
    assert_eq!(
        bench.try_push('a', 1, "more"),
        Err(Rejection::Overloaded {
            cause: Overload::QueueFull { waiting: 8, max: 2 },
            retry_after: Duration::from_secs(1)
        })
    );
}

#[test]
fn signatures_never_share_a_batch_and_the_oldest_goes_first() {
    let mut bench = Bench::new(config(AT_ONCE, 32, 1_024), 1);
    bench.push('x', 1, "x1");
    bench.push('y', 1, "y1");
    bench.push('x', 1, "x2");
    bench.push('y', 1, "y2");
    assert_eq!(bench.run_names(), ["x1", "x2"]);
    bench.machine.succeeded();
    assert_eq!(bench.run_names(), ["y1", "y2"]);
}

#[test]
fn a_window_waits_for_its_time() {
    let mut bench = Bench::new(config(Policy::Window(milliseconds(50)), 32, 1_024), 1);
    bench.push('a', 1, "first");
    assert_eq!(bench.wait(), Some(milliseconds(50)));
    bench.pass(30);
    bench.push('a', 1, "second");
    assert_eq!(bench.wait(), Some(milliseconds(20)));
    bench.pass(20);
    assert_eq!(bench.run_names(), ["first", "second"]);
}

#[test]
fn a_window_runs_what_is_full_at_once() {
    let mut bench = Bench::new(config(Policy::Window(milliseconds(50)), 4, 1_024), 2);
    bench.push('x', 1, "x1");
    bench.push('y', 2, "y1");
    bench.push('y', 2, "y2");
    bench.push('y', 1, "y3");
    assert_eq!(
        bench.run_names(),
        ["y1", "y2"],
        "an odd shape doesn't hold the rest up"
    );
    assert_eq!(bench.wait(), Some(milliseconds(50)));
    bench.push('x', 4, "doesn't fit beside x1");
    assert_eq!(bench.run_names(), ["x1"]);
}

#[test]
fn a_window_with_busy_workers_waits_for_them() {
    let mut bench = Bench::new(config(Policy::Window(milliseconds(50)), 2, 1_024), 1);
    bench.push('a', 2, "runs");
    bench.run();
    bench.push('a', 2, "full");
    bench.pass(60);
    assert_eq!(
        bench.wait(),
        Some(milliseconds(940)),
        "only the deadline is to come"
    );
    bench.machine.succeeded();
    assert_eq!(bench.run_names(), ["full"]);
}

#[test]
fn expired_requests_never_run() {
    let mut bench = Bench::new(config(AT_ONCE, 32, 1_024), 1);
    bench.push('a', 1, "runs");
    bench.run();
    bench.push('a', 2, "expires");
    bench.pass(500);
    bench.push('a', 1, "lives");
    bench.pass(500);
    match bench.machine.poll(bench.now) {
        Step::Expired(expired) => assert_eq!(names(&expired), ["expires"]),
        step => panic!("{step:?}"),
    }
    assert_eq!(bench.machine.waiting_rows(), 1);
    bench.machine.succeeded();
    assert_eq!(bench.run_names(), ["lives"]);
}

#[test]
fn a_cancelled_request_leaves_the_queue_once() {
    let mut bench = Bench::new(config(AT_ONCE, 32, 1_024), 1);
    let running = bench.push('a', 1, "runs");
    bench.run();
    let waiting = bench.push('a', 4, "waits");
    assert_eq!(bench.machine.cancel(waiting), Some("waits"));
    assert_eq!(bench.machine.cancel(waiting), None);
    assert_eq!(bench.machine.cancel(running), None);
    assert_eq!(bench.machine.waiting_rows(), 0);
    assert_eq!(bench.wait(), None, "its deadline went with it");
}

#[test]
fn a_failed_batch_is_halved_until_one_is_to_blame() {
    let mut bench = Bench::new(config(AT_ONCE, 32, 1_024), 1);
    for name in ["a", "b", "poison", "d", "e"] {
        bench.push('s', 1, name);
    }
    bench.run_and_return_if_poisoned();
    bench.push('s', 1, "later");
    let mut ran = Vec::new();
    let mut blamed = Vec::new();
    while let Step::Run(batch) = bench.machine.poll(bench.now) {
        if names(&batch).contains(&"poison") {
            blamed.extend(bench.machine.failed(batch).map(|entry| entry.payload));
        } else {
            ran.push(names(&batch));
            bench.machine.succeeded();
        }
    }
    assert_eq!(blamed, ["poison"]);
    assert_eq!(
        ran,
        [vec!["a", "b"], vec!["d", "e"], vec!["later"]],
        "halves keep to themselves"
    );
}

impl Bench {
    fn run_and_return_if_poisoned(&mut self) {
        let batch = self.run();
        assert!(names(&batch).contains(&"poison"));
        assert!(self.machine.failed(batch).is_none());
    }
}

#[test]
fn halves_of_a_failed_batch_do_not_wait_for_a_window() {
    let mut bench = Bench::new(config(Policy::Window(milliseconds(50)), 2, 1_024), 1);
    bench.push('a', 1, "a");
    bench.push('a', 1, "b");
    let batch = bench.run();
    assert!(bench.machine.failed(batch).is_none());
    assert_eq!(bench.run_names(), ["a"]);
}

#[test]
fn flushing_ends_the_window_for_those_that_wait_and_those_that_come() {
    let mut bench = Bench::new(config(Policy::Window(milliseconds(50)), 32, 1_024), 1);
    bench.push('a', 1, "waits");
    assert!(bench.wait().is_some());
    bench.machine.flush();
    assert_eq!(bench.run_names(), ["waits"]);
    bench.machine.succeeded();
    bench.push('a', 1, "comes");
    assert_eq!(bench.run_names(), ["comes"]);
}

#[test]
fn closing_refuses_new_requests_and_runs_the_queue_at_once() {
    let mut bench = Bench::new(config(Policy::Window(milliseconds(50)), 32, 1_024), 1);
    bench.push('a', 1, "accepted");
    bench.machine.close();
    assert_eq!(bench.try_push('a', 1, "late"), Err(Rejection::Closed));
    assert_eq!(bench.run_names(), ["accepted"]);
    assert_eq!(bench.wait(), None, "not finished while a batch runs");
    bench.machine.succeeded();
    assert!(matches!(bench.machine.poll(bench.now), Step::Finished));
}

/// What can happen to a batcher.
#[derive(Debug, Clone)]
enum Event {
    Push {
        signature: u8,
        rows: usize,
        lifetime: u64,
        poison: bool,
    },
    Cancel(prop::sample::Index),
    Finish(prop::sample::Index),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_u8..3, 1_usize..6, 1_u64..200, prop::bool::weighted(0.2)).prop_map(
            |(signature, rows, lifetime, poison)| Event::Push { signature, rows, lifetime, poison }
        ),
        1 => any::<prop::sample::Index>().prop_map(Event::Cancel),
        4 => any::<prop::sample::Index>().prop_map(Event::Finish),
        2 => (0_u64..60).prop_map(Event::Pass),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(AT_ONCE),
        (0_u64..80).prop_map(|window| Policy::Window(milliseconds(window))),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    Blamed,
    Expired,
    Cancelled,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    signature: u8,
    rows: usize,
    deadline: Instant,
    poison: bool,
    ticket: Ticket,
    ran: bool,
    end: Option<End>,
}

/// Drives a machine and checks, after each step, what must always hold.
struct Judge {
    config: Config,
    workers: usize,
    machine: Machine<u8, usize>,
    now: Instant,
    known: Vec<Known>,
    running: Vec<Vec<Entry<u8, usize>>>,
}

impl Judge {
    fn end(&mut self, id: usize, end: End) {
        assert_eq!(self.known[id].end, None, "request {id} ended twice");
        self.known[id].end = Some(end);
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Push {
                signature,
                rows: count,
                lifetime,
                poison,
            } => {
                let id = self.known.len();
                let deadline = self.now + milliseconds(lifetime);
                let waiting = self.machine.waiting_rows();
                let pushed = self
                    .machine
                    .push(self.now, signature, rows(count), deadline, id);
                let max = self.config.max_queue_rows.get();
                match pushed {
                    Ok(ticket) => {
                        assert!(waiting == 0 || waiting + count <= max);
                        let (ran, end) = (false, None);
                        let rows = count;
                        self.known.push(Known {
                            signature,
                            rows,
                            deadline,
                            poison,
                            ticket,
                            ran,
                            end,
                        });
                    }
                    Err(Rejection::TooManyRows { .. }) => {
                        assert!(count > self.config.max_rows.get());
                    }
                    Err(Rejection::Overloaded { .. }) => assert!(waiting + count > max),
                    Err(Rejection::Closed) => panic!("nobody closed it"),
                }
            }
            Event::Cancel(index) if !self.known.is_empty() => {
                let id = index.index(self.known.len());
                if self.machine.cancel(self.known[id].ticket).is_some() {
                    self.end(id, End::Cancelled);
                }
            }
            Event::Finish(index) if !self.running.is_empty() => {
                let batch = self.running.swap_remove(index.index(self.running.len()));
                self.finish(batch);
            }
            Event::Pass(time) => self.now += milliseconds(time),
            Event::Cancel(_) | Event::Finish(_) => {}
        }
        self.settle();
    }

    fn finish(&mut self, batch: Vec<Entry<u8, usize>>) {
        if batch.iter().any(|entry| self.known[entry.payload].poison) {
            if let Some(blamed) = self.machine.failed(batch) {
                assert!(
                    self.known[blamed.payload].poison,
                    "an innocent request was blamed"
                );
                self.end(blamed.payload, End::Blamed);
            }
        } else {
            self.machine.succeeded();
            for entry in batch {
                self.end(entry.payload, End::Answered);
            }
        }
    }

    fn settle(&mut self) {
        loop {
            match self.machine.poll(self.now) {
                Step::Run(batch) => self.check_and_start(batch),
                Step::Expired(entries) => {
                    for entry in entries {
                        assert!(self.known[entry.payload].deadline <= self.now);
                        self.end(entry.payload, End::Expired);
                    }
                }
                Step::Wait(until) => {
                    assert!(until.is_none_or(|until| until > self.now), "would spin");
                    self.check_idle();
                    break;
                }
                Step::Finished => break,
            }
        }
        assert!(self.running.len() <= self.workers);
    }

    fn check_and_start(&mut self, batch: Vec<Entry<u8, usize>>) {
        assert!(!batch.is_empty());
        let count: usize = batch.iter().map(Entry::rows).sum();
        assert!(count <= self.config.max_rows.get(), "{count} rows");
        assert!(batch.is_sorted_by_key(Entry::ticket));
        let signature = *batch[0].signature();
        for entry in &batch {
            let id = entry.payload;
            assert_eq!(*entry.signature(), signature);
            assert_eq!(entry.rows(), self.known[id].rows);
            assert!(entry.deadline() > self.now, "ran after its deadline");
            assert_eq!(self.known[id].end, None, "ran after its end");
            if !self.known[id].ran {
                let overtaken = self.known[..id].iter().find(|older| {
                    older.signature == signature && !older.ran && older.end.is_none()
                });
                let in_batch = |ticket| batch.iter().any(|entry| entry.ticket() == ticket);
                assert!(
                    overtaken.is_none_or(|older| in_batch(older.ticket)),
                    "overtook"
                );
            }
        }
        for entry in &batch {
            self.known[entry.payload].ran = true;
        }
        self.running.push(batch);
    }

    /// With a worker idle, something may wait only for a window that has not ended.
    fn check_idle(&self) {
        let idle = self.running.len() < self.workers;
        if idle && matches!(self.config.policy, Policy::WorkConserving { .. }) {
            assert_eq!(
                self.machine.waiting_rows(),
                0,
                "an idle worker while requests wait"
            );
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_answered_twice_reordered_or_late(
        policy in policy(),
        max_rows in 1_usize..8,
        max_queue_rows in 1_usize..24,
        workers in 1_usize..4,
        events in vec(event(), 1..120),
    ) {
        let config = config(policy, max_rows, max_queue_rows);
        let mut judge = Judge {
            config,
            workers,
            machine: Machine::new(config, rows(workers)),
            now: Instant::now(),
            known: Vec::new(),
            running: Vec::new(),
        };
        for event in &events {
            judge.apply(event);
        }
        judge.machine.close();
        judge.settle();
        while let Some(batch) = judge.running.pop() {
            judge.finish(batch);
            judge.settle();
        }
        prop_assert!(matches!(judge.machine.poll(judge.now), Step::Finished));
        prop_assert_eq!(judge.machine.waiting_rows(), 0);
        for (id, known) in judge.known.iter().enumerate() {
            prop_assert!(known.end.is_some(), "request {} was lost", id);
        }
    }
}
