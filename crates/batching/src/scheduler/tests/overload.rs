//! The results of requests in an overload, in the simulated pod.

use std::time::Duration;

use super::simulation::{MAX, Scene, simulate};
use crate::scheduler::Objective;

/// Responses in time as a share of the capacity, late ones as a share of the accepted requests, and the 99th percentile
/// of the latency in milliseconds.
fn shares(scene: &Scene) -> (f64, f64, f64) {
    let outcome = simulate(scene, MAX);
    let seconds = (scene.counted.end - scene.counted.start) as f64;
    let accepted = outcome.answers + outcome.late;
    (
        outcome.answers as f64 / seconds / scene.capacity(),
        outcome.late as f64 / accepted as f64,
        outcome.p99,
    )
}

#[test]
fn as_much_is_answered_in_time_as_can_be_and_hardly_anything_accepted_is_late() {
    for (workers, fixed, per_row, lifetime, counted) in [
        (1, 5.0, 1.0, 500.0, 1..3),
        (2, 5.0, 1.0, 500.0, 1..3),
        (1, 0.0, 5.0, 1_000.0, 1..3),
        (1, 20.0, 0.5, 300.0, 1..3),
        (1, 200.0, 55.0, 5_000.0, 30..130),
        (1, 20.0, 60.0, 5_000.0, 30..130),
    ] {
        for spread in [0.05, 0.2] {
            let scene = Scene {
                lifetime,
                spread,
                counted: counted.clone(),
                ..Scene::overload(3.0, workers, fixed, per_row)
            };
            let (goodput, late, p99) = shares(&scene);
            assert!(goodput > 0.95, "{goodput} in {scene:?}");
            assert!(late < 0.01, "{late} in {scene:?}");
            assert!(p99 < lifetime - 10.0, "{p99} ms in {scene:?}");
        }
    }
}

#[test]
fn a_server_that_starts_under_overload_answers_from_the_start() {
    for (lifetime, measured, enough, too_late) in [
        (1_000.0, false, 0.4, 0.25),
        (1_000.0, true, 0.4, 0.1),
        (3_000.0, false, 0.8, 0.15),
        (3_000.0, true, 0.8, 0.05),
        (5_000.0, false, 0.9, 0.1),
        (5_000.0, true, 0.9, 0.01),
    ] {
        for spread in [0.05, 0.2] {
            // A full batch takes 2 s. Where requests have no four, their batches are smaller.
            let scene = Scene {
                lifetime,
                spread,
                measured,
                max_queue_rows: 1_024,
                counted: 0..30,
                ..Scene::overload(3.0, 1, 200.0, 55.0)
            };
            let (goodput, late, _) = shares(&scene);
            assert!(goodput > enough, "{goodput} in {scene:?}");
            assert!(late < too_late, "{late} in {scene:?}");
        }
    }
}

#[test]
fn where_requests_have_less_time_than_two_full_batches_take_their_batches_are_smaller_not_late() {
    for (lifetime, enough) in [(1_000.0, 0.45), (2_000.0, 0.75), (3_000.0, 0.9)] {
        for spread in [0.05, 0.2] {
            let scene = Scene {
                lifetime,
                spread,
                counted: 30..130,
                ..Scene::overload(3.0, 1, 200.0, 55.0)
            };
            let (goodput, late, p99) = shares(&scene);
            assert!(goodput > enough, "{goodput} in {scene:?}");
            assert!(late < 0.01, "{late} in {scene:?}");
            assert!(p99 < lifetime - 10.0, "{p99} ms in {scene:?}");
        }
    }
}

/// Half a second, once requests have waited for five.
const OBJECTIVE: Objective = Objective {
    latency: Duration::from_millis(500),
    overload_after: Duration::from_secs(5),
};

#[test]
fn under_an_objective_what_is_accepted_in_a_long_overload_is_answered_within_it() {
    for (workers, fixed, per_row) in [(1, 5.0, 1.0), (2, 5.0, 1.0), (1, 0.0, 5.0), (1, 20.0, 0.5)] {
        for times in [1.2, 2.0, 4.0] {
            for spread in [0.05, 0.2] {
                let scene = Scene {
                    lifetime: 5_000.0,
                    objective: Some(OBJECTIVE),
                    spread,
                    // After ten seconds the overload is detected, and the queue is shorter.
                    counted: 12..32,
                    ..Scene::overload(times, workers, fixed, per_row)
                };
                let outcome = simulate(&scene, MAX);
                let prompt = outcome.prompt as f64 / 20.0 / scene.capacity();
                assert!(prompt > 0.95, "{prompt} in {scene:?}");
                let late = outcome.answers + outcome.late - outcome.prompt;
                let late = late as f64 / outcome.answers as f64;
                assert!(late < 0.01, "{late} in {scene:?}");
            }
        }
    }
}

#[test]
fn batches_of_very_uneven_times_do_not_end_the_cut() {
    for (times, spread) in [(1.5, 0.6), (2.0, 0.6), (2.0, 0.9), (4.0, 0.9)] {
        let scene = Scene {
            lifetime: 5_000.0,
            objective: Some(OBJECTIVE),
            spread,
            counted: 12..72,
            ..Scene::overload(times, 1, 0.0, 29.0)
        };
        let outcome = simulate(&scene, MAX);
        let late = outcome.answers + outcome.late - outcome.prompt;
        let late = late as f64 / outcome.answers as f64;
        let prompt = outcome.prompt as f64 / 60.0 / scene.capacity();
        assert!(prompt > 0.75, "{prompt} in {scene:?}");
        assert!(late < 0.3, "{late} in {scene:?}");
    }
}

/// Whose requests alone take most of the objective.
#[test]
fn a_slow_model_that_is_not_overloaded_hardly_refuses() {
    for (times, share) in [(0.4, 0.995), (0.6, 0.97), (0.7, 0.9)] {
        let scene = Scene {
            lifetime: 5_000.0,
            objective: Some(OBJECTIVE),
            counted: 0..3_000,
            ..Scene::overload(times, 1, 0.0, 400.0)
        };
        let outcome = simulate(&scene, MAX);
        let answered = outcome.answers as f64 / 3_000.0 / scene.capacity() / times;
        assert!(answered > share, "{answered} in {scene:?}");
    }
}

#[test]
fn without_an_objective_answers_come_just_before_the_deadline() {
    let scene = Scene {
        lifetime: 5_000.0,
        counted: 12..32,
        ..Scene::overload(2.0, 1, 5.0, 1.0)
    };
    let outcome = simulate(&scene, MAX);
    assert!(outcome.p99 > 3_000.0, "{outcome:?}");
}
