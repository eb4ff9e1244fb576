//! Many signatures at a time.

use super::*;

#[test]
fn hundreds_of_signatures_run_in_the_order_of_their_oldest_requests() {
    let mut scheduler: Scheduler<_, _> =
        Scheduler::new(config(Policy::AT_ONCE, 4, 4_096), rows(1), &[]);
    let now = Instant::now();
    for round in 0..2 {
        for signature in 0..500 {
            let deadline = now + milliseconds(1_000);
            scheduler
                .push(now, signature, rows(1), deadline, (signature, round))
                .unwrap();
        }
    }
    for signature in 0..500 {
        let Action::Run(batch) = scheduler.poll(now) else {
            panic!("nothing to run for {signature}")
        };
        let payloads: Vec<_> = batch.entries.iter().map(|entry| entry.payload).collect();
        assert_eq!(payloads, [(signature, 0), (signature, 1)]);
        scheduler.skipped(batch.run);
    }
    assert_eq!(scheduler.waiting_rows(), 0);
}

#[test]
fn a_signature_that_has_left_comes_back_as_new() {
    let mut fixture = Fixture::new(config(Policy::Window(milliseconds(50)), 2, 1_024), 1);
    for name in ["a", "b"] {
        let ticket = fixture.push('x', 1, name);
        fixture.scheduler.cancel(ticket);
    }
    fixture.push('y', 1, "y1");
    fixture.push('x', 1, "x1");
    fixture.push('x', 1, "x2");
    assert_eq!(fixture.run_names(), ["x1", "x2"]);
    fixture.finish();
    fixture.pass(50);
    assert_eq!(fixture.run_names(), ["y1"]);
}

#[test]
fn a_full_batch_of_a_late_signature_does_not_go_before_a_window_that_has_ended() {
    let mut fixture = Fixture::new(config(Policy::Window(milliseconds(50)), 2, 1_024), 1);
    fixture.push('x', 1, "x1");
    fixture.pass(50);
    fixture.push('y', 2, "full");
    assert_eq!(fixture.run_names(), ["x1"]);
}
