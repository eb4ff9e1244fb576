//! What always holds, whatever happens.

use std::num::NonZeroU32;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::scheduler::plan::MAX_DELIVERY;
use crate::scheduler::sentinel::{CheckResult, Sentinel};

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
    /// One of the running batches ends, after this number of milliseconds.
    Finish(prop::sample::Index, u64),
    Pass(u64),
    /// Batches must not be shared any more.
    Part,
    /// The running check ends after this number of milliseconds.
    Checked(CheckResult, u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_u8..3, 1_usize..6, 1_u64..200, prop::bool::weighted(0.2)).prop_map(
            |(signature, rows, lifetime, poison)| Event::Push { signature, rows, lifetime, poison }
        ),
        1 => any::<prop::sample::Index>().prop_map(Event::Cancel),
        4 => (any::<prop::sample::Index>(), 0_u64..40).prop_map(|(run, took)| Event::Finish(run, took)),
        8 => (0_u64..60).prop_map(Event::Pass),
        2 => (0_u64..6_000).prop_map(Event::Pass),
        1 => Just(Event::Part),
        8 => (check(), 0_u64..40).prop_map(|(check, took)| Event::Checked(check, took)),
    ]
}

fn check() -> impl Strategy<Value = CheckResult> {
    prop_oneof![
        8 => Just(CheckResult::Same),
        1 => Just(CheckResult::Different),
        4 => Just(CheckResult::Undecided),
    ]
}

fn sharing() -> impl Strategy<Value = Sharing> {
    let sentinel = (0_u32..5, 1_u32..5).prop_map(|(first, every)| {
        let every = NonZeroU32::new(every).unwrap();
        Sharing::Checked(Sentinel { first, every })
    });
    prop_oneof![
        1 => Just(Sharing::Alone),
        2 => Just(Sharing::Unchecked),
        4 => sentinel,
    ]
}

fn objective() -> impl Strategy<Value = Option<Objective>> {
    prop::option::of(
        (1_u64..100, 0_u64..100).prop_map(|(latency, overload_after)| Objective {
            latency: milliseconds(latency),
            overload_after: milliseconds(overload_after),
        }),
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::AT_ONCE),
        (1_u64..80).prop_map(|max| Policy::WorkConserving {
            max_linger: milliseconds(max)
        }),
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

/// A check that runs.
struct Checking {
    check_task: CheckTask<usize>,
    /// Since when its request is kept.
    since: Instant,
    began: Instant,
}

/// Drives a scheduler and checks the invariants after each step.
struct Judge {
    config: Config,
    workers: usize,
    scheduler: Scheduler<u8, usize, usize>,
    now: Instant,
    known: Vec<Known>,
    running: Vec<Batch<u8, usize>>,
    /// Number of the request that is kept for a check, and since when at least.
    kept: Option<(usize, Instant)>,
    checking: Option<Checking>,
    /// Batches were shared, and must not be any more.
    parted: bool,
    /// Since when all workers have had work.
    busy_since: Option<Instant>,
    /// Whether they ever were for long enough to make the queue a standing one.
    stood: bool,
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
                let waiting = self.scheduler.waiting_rows();
                if let (Some(since), Some(objective)) = (self.busy_since, self.config.objective) {
                    self.stood |= since + objective.overload_after <= self.now;
                }
                let pushed = self
                    .scheduler
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
                        assert!(count > self.config.max_rows.get() && !self.scheduler.is_alone());
                    }
                    Err(Rejection::Overloaded { cause, retry_after }) => {
                        let bounds = milliseconds(1)..=milliseconds(60_000);
                        assert!(bounds.contains(&retry_after), "{retry_after:?}");
                        match cause {
                            Overload::QueueFull { .. } => assert!(waiting + count > max),
                            Overload::TooLate { expected } => {
                                assert!(!self.scheduler.has_idle_worker());
                                assert!(2 * expected + MAX_DELIVERY > milliseconds(lifetime));
                            }
                            Overload::Sustained { expected } => {
                                let latency = self.config.objective.unwrap().latency;
                                assert!(!self.scheduler.has_idle_worker() && waiting > 0);
                                assert!(2 * expected + MAX_DELIVERY > latency);
                                assert!(self.stood);
                            }
                        }
                    }
                    Err(Rejection::Closed) => panic!("nobody closed it"),
                }
            }
            Event::Cancel(index) if !self.known.is_empty() => {
                self.cancel(index.index(self.known.len()));
            }
            Event::Finish(index, took) if !self.running.is_empty() => {
                let batch = self.running.swap_remove(index.index(self.running.len()));
                self.finish(batch, milliseconds(took));
            }
            Event::Pass(time) => self.now += milliseconds(time),
            Event::Part => {
                let cancel = self.scheduler.run_alone();
                self.part(cancel);
            }
            Event::Checked(check, took) => self.checked(Some(check), milliseconds(took)),
            Event::Cancel(_) | Event::Finish(..) => {}
        }
        self.settle();
    }

    fn part(&mut self, cancel: Option<CancelHandle>) {
        assert!(self.scheduler.is_alone());
        self.parted = true;
        self.stop_check(cancel);
    }

    /// A check is stopped, and that at once.
    fn stop_check(&mut self, cancel: Option<CancelHandle>) {
        if let Some(cancel) = cancel {
            cancel.cancel();
            let checking = self.checking.as_ref().unwrap();
            let check_task = &checking.check_task;
            assert!(check_task.cancel.is_cancelled());
            if check_task.run.is_none() && !self.scheduler.is_alone() {
                self.kept = Some((check_task.sample, checking.since));
            }
            self.checked(None, Duration::ZERO);
        }
    }

    fn checked(&mut self, check: Option<CheckResult>, took: Duration) {
        let Some(Checking { check_task, .. }) = self.checking.take() else {
            return;
        };
        let settled = self.scheduler.checked(self.now, check_task, took, check);
        assert!(!self.parted || settled.is_none(), "of no use any more");
        if settled == Some(CheckResult::Different) {
            self.part(None);
        }
        assert_eq!(self.scheduler.is_alone(), self.parted);
    }

    fn begin_check(&mut self, check_task: CheckTask<usize>) {
        assert!(self.checking.is_none(), "two at once");
        assert!(!self.parted, "of no use any more");
        let (id, since) = self.kept.take().unwrap();
        assert_eq!(check_task.sample, id);
        if check_task.run.is_some() {
            assert!(self.now >= since + milliseconds(1_000), "not overdue");
        } else {
            assert_eq!(self.scheduler.waiting_rows(), 0);
        }
        let began = self.now;
        self.checking = Some(Checking {
            check_task,
            since,
            began,
        });
    }

    /// Workers that have a batch, or a check that must not be stopped.
    fn busy(&self) -> usize {
        let checking = self.checking.as_ref();
        let overdue = checking.is_some_and(|it| it.check_task.run.is_some());
        self.running.len() + usize::from(overdue)
    }

    fn cancel(&mut self, id: usize) {
        let runs = self.known[id].ran && self.known[id].end.is_none();
        match self.scheduler.cancel(self.known[id].ticket) {
            Cancelled::Waiting(entry) => {
                assert_eq!(entry.payload, id);
                self.end(id, End::Cancelled);
            }
            Cancelled::Running(cancel) => {
                assert!(runs);
                self.end(id, End::Cancelled);
                let index = self.running.iter().position(|batch| holds(batch, id));
                let batch = &self.running[index.unwrap()];
                let nobody_waits = batch
                    .entries
                    .iter()
                    .all(|entry| self.known[entry.payload].end.is_some());
                assert_eq!(cancel.is_some(), nobody_waits);
                if let Some(cancel) = cancel {
                    cancel.cancel();
                    assert!(batch.cancel.is_cancelled());
                    let batch = self.running.swap_remove(index.unwrap());
                    self.scheduler.skipped(batch.run);
                }
            }
            Cancelled::Over => assert!(self.known[id].end.is_some()),
        }
    }

    fn finish(&mut self, batch: Batch<u8, usize>, took: Duration) {
        let Batch { run, entries, .. } = batch;
        if entries.iter().any(|entry| self.known[entry.payload].poison) {
            if let Some(blamed) = self.scheduler.failed(run, entries) {
                assert!(
                    self.known[blamed.payload].poison,
                    "an innocent request was blamed"
                );
                self.end(blamed.payload, End::Blamed);
            }
        } else {
            let rows = entries.iter().map(Entry::rows).sum();
            let measured = BatchLatency { rows, took };
            let shared = entries.len() > 1;
            match self.scheduler.succeeded(self.now, run, measured, entries) {
                Outputs::Give { batch, keep } => {
                    assert!(!shared || !self.parted, "from a shared batch");
                    for entry in &batch {
                        if self.known[entry.payload].end.is_none() {
                            self.end(entry.payload, End::Answered);
                        }
                    }
                    if let Some(index) = keep {
                        assert!(shared && self.kept.is_none() && self.checking.is_none());
                        self.kept = Some((batch[index].payload, self.now));
                        self.scheduler.keep(self.now, batch[index].payload);
                    }
                }
                Outputs::Drop => assert!(shared && self.parted),
            }
        }
    }

    fn settle(&mut self) {
        let cancel = self.scheduler.interrupt(self.now);
        if let Some(checking) = self.checking.as_ref().filter(|_| cancel.is_some()) {
            assert!(
                self.scheduler.waiting_rows() > 0,
                "nothing to be stopped for"
            );
            let overdue = checking.check_task.run.is_some();
            assert!(!overdue || self.now >= checking.began + milliseconds(10_000));
        }
        self.stop_check(cancel);
        loop {
            match self.scheduler.poll(self.now) {
                Action::Check(check_task) => self.begin_check(check_task),
                Action::Run(batch) => self.check_and_start(batch),
                Action::Expired(entries) => {
                    for entry in entries {
                        self.check_expired(&entry);
                        self.end(entry.payload, End::Expired);
                    }
                }
                Action::Wait(until) => {
                    assert!(until.is_none_or(|until| until > self.now), "would spin");
                    self.check_idle(until);
                    break;
                }
                Action::Finished => break,
            }
        }
        assert!(self.busy() <= self.workers);
        let waits = |(id, known): &(usize, &Known)| {
            known.end.is_none() && !self.running.iter().any(|batch| holds(batch, *id))
        };
        let waiting = self.known.iter().enumerate().filter(waits);
        let rows: usize = waiting.map(|(_, known)| known.rows).sum();
        assert_eq!(self.scheduler.waiting_rows(), rows);
        let busy = self.busy() == self.workers;
        if busy {
            self.busy_since.get_or_insert(self.now);
        } else if rows == 0 {
            self.busy_since = None;
        }
    }

    /// Nobody is given up before its deadline whose time suffices for a batch.
    fn check_expired(&self, entry: &Entry<u8, usize>) {
        let left = self.known[entry.payload]
            .deadline
            .saturating_duration_since(self.now);
        let largest = self.config.max_rows.get().max(entry.rows());
        let takes = self
            .scheduler
            .estimate()
            .map_or(Duration::ZERO, |estimate| {
                estimate.upper_bound(largest) + MAX_DELIVERY
            });
        assert!(left.is_zero() || left < takes, "{left:?}, {takes:?}");
    }

    fn check_and_start(&mut self, started: Batch<u8, usize>) {
        let batch = &started.entries;
        assert!(!batch.is_empty());
        let count: usize = batch.iter().map(Entry::rows).sum();
        if self.parted {
            assert_eq!(batch.len(), 1, "requests that must not share a batch");
        } else {
            assert!(count <= self.config.max_rows.get(), "{count} rows");
        }
        assert!(batch.is_sorted_by_key(Entry::ticket));
        let signature = *batch[0].signature();
        for entry in batch {
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
        for entry in batch {
            self.known[entry.payload].ran = true;
        }
        self.running.push(started);
    }

    /// With a worker idle, something may wait only for a window or a linger that has not ended.
    fn check_idle(&self, until: Option<Instant>) {
        let waits = self.scheduler.waiting_rows() > 0;
        assert_eq!(self.scheduler.has_idle_worker(), self.busy() < self.workers);
        if waits && self.scheduler.has_idle_worker() {
            let longest = match self.config.policy {
                _ if self.parted => Duration::ZERO,
                Policy::WorkConserving { max_linger } => max_linger,
                Policy::Window(window) => window,
            };
            assert!(
                until.unwrap() <= self.now + longest,
                "an idle worker while requests wait"
            );
        }
    }
}

fn holds(batch: &Batch<u8, usize>, id: usize) -> bool {
    batch.entries.iter().any(|entry| entry.payload == id)
}

proptest! {
    #[test]
    fn nothing_is_lost_answered_twice_reordered_or_late(
        policy in policy(),
        max_rows in 1_usize..8,
        max_queue_rows in 1_usize..24,
        workers in 1_usize..4,
        objective in objective(),
        sharing in sharing(),
        events in vec(event(), 1..120),
    ) {
        let config = Config { objective, sharing, ..config(policy, max_rows, max_queue_rows) };
        let mut judge = Judge {
            config,
            workers,
            scheduler: Scheduler::new(config, rows(workers), &[]),
            now: Instant::now(),
            known: Vec::new(),
            running: Vec::new(),
            kept: None,
            checking: None,
            parted: sharing == Sharing::Alone,
            busy_since: None,
            stood: false,
        };
        for event in &events {
            judge.apply(event);
        }
        let cancel = judge.scheduler.close();
        judge.stop_check(cancel);
        judge.settle();
        while let Some(batch) = judge.running.pop() {
            judge.finish(batch, Duration::ZERO);
            judge.settle();
        }
        prop_assert!(matches!(judge.scheduler.poll(judge.now), Action::Finished));
        prop_assert_eq!(judge.scheduler.waiting_rows(), 0);
        for (id, known) in judge.known.iter().enumerate() {
            prop_assert!(known.end.is_some(), "request {} was lost", id);
        }
    }
}
