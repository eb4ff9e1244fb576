//! Runs that are ended early.

use std::thread;

use springtide_inference::{Backend, CancelHandle, RunError};

use crate::support::{model, open, tensor};

#[test]
fn a_stopped_run_ends_and_the_session_goes_on() {
    let mut backend = open(&model("count")).unwrap();
    // Days, if nobody stopped it.
    let forever = tensor(&[], vec![1_000_000_000_000_i64]);
    let thrice = tensor(&[], vec![3_i64]);
    for _ in 0..3 {
        let stop = CancelHandle::new();
        let stopper = {
            let stop = stop.clone();
            thread::spawn(move || {
                while !format!("{stop:?}").contains("running: true") {
                    thread::yield_now();
                }
                stop.cancel();
            })
        };
        let stopped = backend.run(&[&forever], &stop);
        assert_eq!(stopped, Err(RunError::Stopped));
        stopper.join().unwrap();
        let counted = backend.run(&[&thrice], &CancelHandle::new());
        assert_eq!(counted, Ok(vec![tensor(&[], vec![3.0_f32])]));
    }
}

#[test]
fn what_was_stopped_before_it_began_is_not_run() {
    let mut backend = open(&model("count")).unwrap();
    let forever = tensor(&[], vec![1_000_000_000_000_i64]);
    let stop = CancelHandle::new();
    stop.cancel();
    assert_eq!(backend.run(&[&forever], &stop), Err(RunError::Stopped));
}
