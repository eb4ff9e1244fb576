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
        let mut fixture = Fixture::new(alone(policy), 1);
        for (signature, count, name) in [('a', 1, "1"), ('b', 9, "9"), ('a', 4, "4"), ('a', 2, "2")]
        {
            fixture.push(signature, count, name);
        }
        for name in ["1", "9", "4", "2"] {
            assert_eq!(fixture.run_names(), [name]);
            fixture.finish();
        }
    }
}

#[test]
fn alone_the_bound_on_waiting_rows_holds_and_an_empty_queue_takes_any_request() {
    let mut fixture = Fixture::new(alone(Policy::AT_ONCE), 1);
    fixture.push('a', 1_000_000, "runs");
    fixture.run();
    fixture.push('a', usize::MAX, "waits");
    for count in [1, usize::MAX] {
        match fixture.try_push('a', count, "too many") {
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
    let mut fixture = Fixture::new(alone(Policy::AT_ONCE), 1);
    for count in [1, 8].repeat(8) {
        // 20 ms, and 10 ms each row.
        fixture.measure(count, milliseconds(20 + 10 * count as u64));
    }
    fixture.push('a', 1, "runs");
    fixture.run();
    fixture.push('a', 8, "100 ms");
    fixture.push('a', 2, "40 ms");
    let deadline = |now, time| now + milliseconds(time);
    let mut push = |count, time| {
        let (now, scheduler) = (fixture.now, &mut fixture.scheduler);
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
    let mut fixture = Fixture::new(alone(Policy::AT_ONCE), 1);
    fixture.push('a', 1, "runs");
    fixture.run();
    fixture.push('a', 9, "long");
    fixture.push('a', 1, "short");
    for count in [1, 9].repeat(8) {
        fixture.measure(count, milliseconds(100 * count as u64));
    }
    fixture.pass(500);
    fixture.finish();
    match fixture.scheduler.poll(fixture.now) {
        Action::Expired(dropped) => assert_eq!(names(&dropped), ["long"]),
        step => panic!("{step:?}"),
    }
    assert_eq!(fixture.run_names(), ["short"]);
}

#[test]
fn from_the_switch_on_what_waits_runs_alone_in_its_order() {
    let mut fixture = Fixture::new(config(Policy::Window(milliseconds(50)), 8, 1_024), 1);
    for (signature, name) in [('a', "a1"), ('b', "b1"), ('a', "a2"), ('b', "b2")] {
        fixture.push(signature, 1, name);
    }
    assert_eq!(fixture.wait(), Some(milliseconds(50)));
    assert!(!fixture.scheduler.is_alone());
    assert!(fixture.scheduler.run_alone().is_none());
    assert!(fixture.scheduler.is_alone());
    fixture.push('a', 9, "large");
    for name in ["a1", "b1", "a2", "b2", "large"] {
        assert_eq!(fixture.run_names(), [name]);
        fixture.finish();
    }
    assert_eq!(fixture.wait(), None);
}

#[test]
fn a_shared_batch_that_ends_after_the_switch_is_not_given_and_its_requests_run_alone() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 3, 1_024), 2);
    let left = fixture.push('a', 1, "left");
    for name in ["a1", "a2"] {
        fixture.push('a', 1, name);
    }
    fixture.push('b', 1, "lone");
    let (shared, lone) = (fixture.run(), fixture.run());
    fixture.push('a', 1, "a3");
    fixture.scheduler.run_alone();
    fixture.scheduler.cancel(left);
    assert!(is_dropped(&fixture.succeed(shared)));
    match fixture.succeed(lone) {
        Outputs::Give { batch, keep: None } => assert_eq!(names(&batch), ["lone"]),
        other => panic!("{other:?}"),
    }
    for (name, ran_before) in [("a1", true), ("a2", true), ("a3", false)] {
        let batch = fixture.run();
        assert_eq!(names(&batch.entries), [name]);
        assert_eq!(batch.entries[0].ran_before(), ran_before);
        assert!(!is_dropped(&fixture.succeed(batch)));
    }
    assert_eq!(fixture.wait(), None);
}

#[test]
fn a_shared_batch_that_fails_after_the_switch_runs_alone_too() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 4, 1_024), 1);
    for name in ["1", "2", "3", "4"] {
        fixture.push('a', 1, name);
    }
    let shared = fixture.run();
    fixture.scheduler.run_alone();
    assert!(
        fixture
            .scheduler
            .failed(shared.run, shared.entries)
            .is_none()
    );
    for name in ["1", "2", "3", "4"] {
        let batch = fixture.run();
        assert_eq!(names(&batch.entries), [name]);
        assert!(!is_dropped(&fixture.succeed(batch)));
    }
}

#[test]
fn what_shared_a_batch_of_a_lost_worker_is_not_given_after_the_switch() {
    let mut fixture = Fixture::new(config(Policy::AT_ONCE, 4, 1_024), 1);
    fixture.push('a', 1, "1");
    fixture.push('a', 1, "2");
    let shared = fixture.run();
    fixture.scheduler.run_alone();
    fixture.scheduler.abandon();
    assert!(is_dropped(&fixture.succeed(shared)));
    assert!(matches!(
        fixture.scheduler.poll(fixture.now),
        Action::Finished
    ));
}

#[test]
fn a_check_runs_while_nothing_waits_and_makes_way_for_a_request() {
    let mut fixture = Fixture::new(checked(), 1);
    fixture.share();
    fixture.push('a', 1, "comes before it");
    fixture.run();
    fixture.finish();
    let check_task = fixture.check();
    assert!(
        fixture.scheduler.interrupt(fixture.now).is_none(),
        "nothing waits"
    );
    assert!(
        fixture.scheduler.has_idle_worker(),
        "a check is stopped at once"
    );
    fixture.push('a', 1, "comes during it");
    fixture.scheduler.interrupt(fixture.now).unwrap().cancel();
    assert!(check_task.cancel.is_cancelled());
    assert!(fixture.scheduler.interrupt(fixture.now).is_none());
    assert_eq!(fixture.checked(check_task, None), None);
    assert_eq!(fixture.run_names(), ["comes during it"]);
    fixture.finish();
    let check_task = fixture.check();
    assert_eq!(
        fixture.checked(check_task, Some(CheckResult::Same)),
        Some(CheckResult::Same)
    );
    assert_eq!(fixture.wait(), None);
    assert!(!fixture.scheduler.is_alone());
}

#[test]
fn an_overdue_check_goes_before_what_waits_and_keeps_one_worker() {
    let mut fixture = Fixture::new(checked(), 2);
    fixture.share();
    fixture.push('a', 4, "busy");
    fixture.push('b', 4, "busy");
    fixture.run();
    fixture.run();
    fixture.push('a', 1, "waits");
    fixture.pass(999);
    fixture.finish();
    assert_eq!(fixture.run_names(), ["waits"], "not overdue yet");
    fixture.pass(1);
    fixture.finish();
    fixture.push('a', 1, "waits");
    let check_task = fixture.check();
    assert!(fixture.scheduler.interrupt(fixture.now).is_none());
    assert!(!fixture.scheduler.has_idle_worker());
    assert!(fixture.wait().is_some());
    fixture.finish();
    assert_eq!(fixture.run_names(), ["waits"], "on the other worker");
    assert_eq!(
        fixture.checked(check_task, Some(CheckResult::Same)),
        Some(CheckResult::Same)
    );
    assert!(fixture.scheduler.has_idle_worker());
}

#[test]
fn an_idle_worker_wakes_for_a_check_that_becomes_overdue() {
    let mut fixture = Fixture::new(
        Config {
            policy: Policy::Window(milliseconds(60_000)),
            ..checked()
        },
        1,
    );
    fixture.push('a', 2, "shared");
    fixture.push('a', 2, "shared");
    let batch = fixture.run();
    fixture.succeed(batch);
    fixture.pass(500);
    fixture.push('a', 1, "held back until its deadline");
    assert_eq!(fixture.wait(), Some(milliseconds(500)));
    fixture.pass(500);
    fixture.check();
    assert_eq!(fixture.scheduler.waiting_rows(), 1);
}

#[test]
fn a_difference_parts_requests_at_once_and_is_told_once() {
    let mut fixture = Fixture::new(checked(), 2);
    fixture.share();
    let check_task = fixture.check();
    fixture.push('a', 1, "1");
    fixture.push('a', 1, "2");
    let shared = fixture.run();
    fixture.push('a', 1, "3");
    fixture.push('a', 1, "4");
    let different = Some(CheckResult::Different);
    assert_eq!(fixture.checked(check_task, different), different);
    assert!(fixture.scheduler.is_alone());
    assert!(is_dropped(&fixture.succeed(shared)));
    for name in ["1", "2", "3", "4"] {
        let batch = fixture.run();
        assert_eq!(names(&batch.entries), [name]);
        match fixture.succeed(batch) {
            Outputs::Give { keep: None, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fixture.wait(), None, "nothing is checked any more");
}

#[test]
fn what_a_check_finds_after_the_switch_or_the_close_is_of_no_use() {
    for close in [false, true] {
        let mut fixture = Fixture::new(checked(), 1);
        fixture.share();
        let check_task = fixture.check();
        let cancel = if close {
            fixture.scheduler.close()
        } else {
            fixture.scheduler.run_alone()
        };
        cancel.unwrap().cancel();
        assert!(check_task.cancel.is_cancelled());
        assert_eq!(
            fixture.checked(check_task, Some(CheckResult::Different)),
            None
        );
        assert_eq!(fixture.scheduler.is_alone(), !close);
    }
}

#[test]
fn a_closed_queue_is_finished_when_its_overdue_check_has_ended() {
    let mut fixture = Fixture::new(checked(), 1);
    fixture.share();
    fixture.pass(1_000);
    let check_task = fixture.check();
    fixture.scheduler.close().unwrap();
    assert_eq!(fixture.wait(), None);
    fixture.checked(check_task, None);
    assert!(matches!(
        fixture.scheduler.poll(fixture.now),
        Action::Finished
    ));
}

#[test]
fn a_kept_request_is_forgotten_at_the_close() {
    let mut fixture = Fixture::new(checked(), 1);
    fixture.share();
    assert!(fixture.scheduler.close().is_none());
    assert!(matches!(
        fixture.scheduler.poll(fixture.now),
        Action::Finished
    ));
}

#[test]
fn nothing_is_kept_where_nothing_is_checked_or_shared() {
    for sharing in [Sharing::Unchecked, Sharing::Alone] {
        let mut fixture = Fixture::new(
            Config {
                sharing,
                ..checked()
            },
            1,
        );
        for _round in 0..100 {
            fixture.push('a', 1, "a");
            fixture.push('a', 1, "b");
            while fixture.scheduler.waiting_rows() > 0 {
                let batch = fixture.run();
                match fixture.succeed(batch) {
                    Outputs::Give { keep: None, .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(fixture.wait(), None);
            fixture.pass(1_000);
        }
    }
}
