//! Requests that run alone, from the start or from some moment on, and the checks that lead to it.

use super::*;
use crate::scheduler::sentinel::{CheckResult, Sentinel};

fn alone(policy: Policy) -> Config {
    Config {
        sharing: Sharing::Alone,
        ..config(policy, 4, 16)
    }
}

fn checked() -> Config {
    Config {
        sharing: Sharing::Checked(Sentinel::UNPROVEN),
        ..config(Policy::AT_ONCE, 4, 1_024)
    }
}

impl Fixture {
    /// A batch ends well, and one of its requests is kept where one is to be checked.
    fn succeed(&mut self, batch: Batch<char, &'static str>) -> Outputs<char, &'static str> {
        self.running.retain(|run| *run != batch.run);
        let measured = BatchLatency {
            rows: batch.entries.iter().map(Entry::rows).sum(),
            took: milliseconds(10),
        };
        let outputs = (self.scheduler).succeeded(self.now, batch.run, measured, batch.entries);
        if let Outputs::Give { keep: Some(_), .. } = outputs {
            self.scheduler.keep(self.now, ());
        }
        outputs
    }

    /// Two requests share a batch, and one of them is to be checked.
    fn share(&mut self) {
        self.push('a', 1, "first");
        self.push('a', 1, "second");
        let batch = self.run();
        match self.succeed(batch) {
            Outputs::Give {
                batch,
                keep: Some(_),
            } => assert_eq!(batch.len(), 2),
            other => panic!("{other:?}"),
        }
    }

    fn check(&mut self) -> CheckTask<()> {
        match self.scheduler.poll(self.now) {
            Action::Check(check_task) => check_task,
            step => panic!("expected a check, got {step:?}"),
        }
    }

    fn checked(
        &mut self,
        check_task: CheckTask<()>,
        check: Option<CheckResult>,
    ) -> Option<CheckResult> {
        self.scheduler
            .checked(self.now, check_task, milliseconds(5), check)
    }
}

fn is_dropped<K, T>(outputs: &Outputs<K, T>) -> bool {
    matches!(outputs, Outputs::Drop)
}

#[test]
fn alone_each_request_runs_by_itself_whatever_its_rows() {
    let window = Policy::Window(milliseconds(50));
    let linger = Policy::WorkConserving {
        max_linger: milliseconds(50),
    };
    for policy in [window, linger, Policy::AT_ONCE] {
        let mut bench = Fixture::new(alone(policy), 1);
        for (signature, count, name) in [('a', 1, "1"), ('b', 9, "9"), ('a', 4, "4"), ('a', 2, "2")]
        {
            bench.push(signature, count, name);
        }
        for name in ["1", "9", "4", "2"] {
            assert_eq!(bench.run_names(), [name]);
            bench.finish();
        }
    }
}

#[test]
fn alone_the_bound_on_waiting_rows_holds_and_an_empty_queue_takes_any_request() {
    let mut bench = Fixture::new(alone(Policy::AT_ONCE), 1);
    bench.push('a', 1_000_000, "runs");
    bench.run();
    bench.push('a', usize::MAX, "waits");
    for count in [1, usize::MAX] {
        match bench.try_push('a', count, "too many") {
            Err(Rejection::Overloaded { cause, .. }) => {
                let (waiting, max) = (usize::MAX, 16);
                assert_eq!(cause, Overload::QueueFull { waiting, max });
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn alone_every_request_that_waits_is_counted_as_a_batch() {
    let mut bench = Fixture::new(alone(Policy::AT_ONCE), 1);
    for count in [1, 8].repeat(8) {
        // 20 ms, and 10 ms each row.
        bench.measure(count, milliseconds(20 + 10 * count as u64));
    }
    bench.push('a', 1, "runs");
    bench.run();
    bench.push('a', 8, "100 ms");
    bench.push('a', 2, "40 ms");
    let deadline = |now, time| now + milliseconds(time);
    let mut push = |count, time| {
        let (now, scheduler) = (bench.now, &mut bench.scheduler);
        scheduler.push(now, 'a', rows(count), deadline(now, time), "comes")
    };
    // 30 ms that run, 140 ms that wait and 40 ms of its own.
    match push(2, 200) {
        Err(Rejection::Overloaded {
            cause: Overload::TooLate { expected },
            ..
        }) => assert!(expected.abs_diff(milliseconds(210)) < milliseconds(1)),
        other => panic!("{other:?}"),
    }
    push(2, 400).unwrap();
}

#[test]
fn alone_a_request_without_time_for_its_run_goes_and_the_next_one_runs() {
    let mut bench = Fixture::new(alone(Policy::AT_ONCE), 1);
    bench.push('a', 1, "runs");
    bench.run();
    bench.push('a', 9, "long");
    bench.push('a', 1, "short");
    for count in [1, 9].repeat(8) {
        bench.measure(count, milliseconds(100 * count as u64));
    }
    bench.pass(500);
    bench.finish();
    match bench.scheduler.poll(bench.now) {
        Action::Expired(dropped) => assert_eq!(names(&dropped), ["long"]),
        step => panic!("{step:?}"),
    }
    assert_eq!(bench.run_names(), ["short"]);
}

#[test]
fn from_the_switch_on_what_waits_runs_alone_in_its_order() {
    let mut bench = Fixture::new(config(Policy::Window(milliseconds(50)), 8, 1_024), 1);
    for (signature, name) in [('a', "a1"), ('b', "b1"), ('a', "a2"), ('b', "b2")] {
        bench.push(signature, 1, name);
    }
    assert_eq!(bench.wait(), Some(milliseconds(50)));
    assert!(!bench.scheduler.is_alone());
    assert!(bench.scheduler.run_alone().is_none());
    assert!(bench.scheduler.is_alone());
    bench.push('a', 9, "large");
    for name in ["a1", "b1", "a2", "b2", "large"] {
        assert_eq!(bench.run_names(), [name]);
        bench.finish();
    }
    assert_eq!(bench.wait(), None);
}

#[test]
fn a_shared_batch_that_ends_after_the_switch_is_not_given_and_its_requests_run_alone() {
    let mut bench = Fixture::new(config(Policy::AT_ONCE, 3, 1_024), 2);
    let left = bench.push('a', 1, "left");
    for name in ["a1", "a2"] {
        bench.push('a', 1, name);
    }
    bench.push('b', 1, "lone");
    let (shared, lone) = (bench.run(), bench.run());
    bench.push('a', 1, "a3");
    bench.scheduler.run_alone();
    bench.scheduler.cancel(left);
    assert!(is_dropped(&bench.succeed(shared)));
    match bench.succeed(lone) {
        Outputs::Give { batch, keep: None } => assert_eq!(names(&batch), ["lone"]),
        other => panic!("{other:?}"),
    }
    for (name, ran_before) in [("a1", true), ("a2", true), ("a3", false)] {
        let batch = bench.run();
        assert_eq!(names(&batch.entries), [name]);
        assert_eq!(batch.entries[0].ran_before(), ran_before);
        assert!(!is_dropped(&bench.succeed(batch)));
    }
    assert_eq!(bench.wait(), None);
}

#[test]
fn a_shared_batch_that_fails_after_the_switch_runs_alone_too() {
    let mut bench = Fixture::new(config(Policy::AT_ONCE, 4, 1_024), 1);
    for name in ["1", "2", "3", "4"] {
        bench.push('a', 1, name);
    }
    let shared = bench.run();
    bench.scheduler.run_alone();
    assert!(bench.scheduler.failed(shared.run, shared.entries).is_none());
    for name in ["1", "2", "3", "4"] {
        let batch = bench.run();
        assert_eq!(names(&batch.entries), [name]);
        assert!(!is_dropped(&bench.succeed(batch)));
    }
}

#[test]
fn what_shared_a_batch_of_a_lost_worker_is_not_given_after_the_switch() {
    let mut bench = Fixture::new(config(Policy::AT_ONCE, 4, 1_024), 1);
    bench.push('a', 1, "1");
    bench.push('a', 1, "2");
    let shared = bench.run();
    bench.scheduler.run_alone();
    bench.scheduler.abandon();
    assert!(is_dropped(&bench.succeed(shared)));
    assert!(matches!(bench.scheduler.poll(bench.now), Action::Finished));
}

#[test]
fn a_check_runs_while_nothing_waits_and_makes_way_for_a_request() {
    let mut bench = Fixture::new(checked(), 1);
    bench.share();
    bench.push('a', 1, "comes before it");
    bench.run();
    bench.finish();
    let check_task = bench.check();
    assert!(
        bench.scheduler.interrupt(bench.now).is_none(),
        "nothing waits"
    );
    assert!(
        bench.scheduler.has_idle_worker(),
        "a check is stopped at once"
    );
    bench.push('a', 1, "comes during it");
    bench.scheduler.interrupt(bench.now).unwrap().cancel();
    assert!(check_task.cancel.is_cancelled());
    assert!(bench.scheduler.interrupt(bench.now).is_none());
    assert_eq!(bench.checked(check_task, None), None);
    assert_eq!(bench.run_names(), ["comes during it"]);
    bench.finish();
    let check_task = bench.check();
    assert_eq!(
        bench.checked(check_task, Some(CheckResult::Same)),
        Some(CheckResult::Same)
    );
    assert_eq!(bench.wait(), None);
    assert!(!bench.scheduler.is_alone());
}

#[test]
fn an_overdue_check_goes_before_what_waits_and_keeps_one_worker() {
    let mut bench = Fixture::new(checked(), 2);
    bench.share();
    bench.push('a', 4, "busy");
    bench.push('b', 4, "busy");
    bench.run();
    bench.run();
    bench.push('a', 1, "waits");
    bench.pass(999);
    bench.finish();
    assert_eq!(bench.run_names(), ["waits"], "not overdue yet");
    bench.pass(1);
    bench.finish();
    bench.push('a', 1, "waits");
    let check_task = bench.check();
    assert!(bench.scheduler.interrupt(bench.now).is_none());
    assert!(!bench.scheduler.has_idle_worker());
    assert!(bench.wait().is_some());
    bench.finish();
    assert_eq!(bench.run_names(), ["waits"], "on the other worker");
    assert_eq!(
        bench.checked(check_task, Some(CheckResult::Same)),
        Some(CheckResult::Same)
    );
    assert!(bench.scheduler.has_idle_worker());
}

#[test]
fn an_idle_worker_wakes_for_a_check_that_becomes_overdue() {
    let mut bench = Fixture::new(
        Config {
            policy: Policy::Window(milliseconds(60_000)),
            ..checked()
        },
        1,
    );
    bench.push('a', 2, "shared");
    bench.push('a', 2, "shared");
    let batch = bench.run();
    bench.succeed(batch);
    bench.pass(500);
    bench.push('a', 1, "held back until its deadline");
    assert_eq!(bench.wait(), Some(milliseconds(500)));
    bench.pass(500);
    bench.check();
    assert_eq!(bench.scheduler.waiting_rows(), 1);
}

#[test]
fn a_difference_parts_requests_at_once_and_is_told_once() {
    let mut bench = Fixture::new(checked(), 2);
    bench.share();
    let check_task = bench.check();
    bench.push('a', 1, "1");
    bench.push('a', 1, "2");
    let shared = bench.run();
    bench.push('a', 1, "3");
    bench.push('a', 1, "4");
    let different = Some(CheckResult::Different);
    assert_eq!(bench.checked(check_task, different), different);
    assert!(bench.scheduler.is_alone());
    assert!(is_dropped(&bench.succeed(shared)));
    for name in ["1", "2", "3", "4"] {
        let batch = bench.run();
        assert_eq!(names(&batch.entries), [name]);
        match bench.succeed(batch) {
            Outputs::Give { keep: None, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.wait(), None, "nothing is checked any more");
}

#[test]
fn what_a_check_finds_after_the_switch_or_the_close_is_of_no_use() {
    for close in [false, true] {
        let mut bench = Fixture::new(checked(), 1);
        bench.share();
        let check_task = bench.check();
        let cancel = if close {
            bench.scheduler.close()
        } else {
            bench.scheduler.run_alone()
        };
        cancel.unwrap().cancel();
        assert!(check_task.cancel.is_cancelled());
        assert_eq!(
            bench.checked(check_task, Some(CheckResult::Different)),
            None
        );
        assert_eq!(bench.scheduler.is_alone(), !close);
    }
}

#[test]
fn a_closed_queue_is_finished_when_its_overdue_check_has_ended() {
    let mut bench = Fixture::new(checked(), 1);
    bench.share();
    bench.pass(1_000);
    let check_task = bench.check();
    bench.scheduler.close().unwrap();
    assert_eq!(bench.wait(), None);
    bench.checked(check_task, None);
    assert!(matches!(bench.scheduler.poll(bench.now), Action::Finished));
}

#[test]
fn a_kept_request_is_forgotten_at_the_close() {
    let mut bench = Fixture::new(checked(), 1);
    bench.share();
    assert!(bench.scheduler.close().is_none());
    assert!(matches!(bench.scheduler.poll(bench.now), Action::Finished));
}

#[test]
fn nothing_is_kept_where_nothing_is_checked_or_shared() {
    for sharing in [Sharing::Unchecked, Sharing::Alone] {
        let mut bench = Fixture::new(
            Config {
                sharing,
                ..checked()
            },
            1,
        );
        for _round in 0..100 {
            bench.push('a', 1, "a");
            bench.push('a', 1, "b");
            while bench.scheduler.waiting_rows() > 0 {
                let batch = bench.run();
                match bench.succeed(batch) {
                    Outputs::Give { keep: None, .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(bench.wait(), None);
            bench.pass(1_000);
        }
    }
}
