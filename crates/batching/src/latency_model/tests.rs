use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn microseconds(count: u64) -> Duration {
    Duration::from_micros(count)
}

fn measure(time: &mut LatencyModel, rows: usize, took: Duration) {
    time.observe(BatchLatency { rows, took });
}

fn measured(batches: impl IntoIterator<Item = (usize, Duration)>) -> LatencyModel {
    let mut time = LatencyModel::default();
    for (rows, took) in batches {
        time.observe(BatchLatency { rows, took });
    }
    time
}

/// Batches of 1 to 8 rows that take 3 ms and 0.5 ms for each row.
fn line(batches: usize) -> LatencyModel {
    measured((0..batches).map(|batch| {
        let rows = batch % 8 + 1;
        (rows, microseconds(3_000 + 500 * rows as u64))
    }))
}

#[track_caller]
fn assert_close(actual: Duration, expected: Duration, part: f64) {
    let (actual, expected) = (actual.as_secs_f64(), expected.as_secs_f64());
    assert!(
        (actual - expected).abs() <= expected * part,
        "{actual} s, expected {expected} s"
    );
}

#[test]
fn the_first_batch_says_something() {
    assert_eq!(line(0).estimate(), None);
    let time = line(1);
    assert_close(
        time.estimate().unwrap().minimum(1, 1),
        microseconds(3_500),
        1e-6,
    );
    assert_close(
        time.estimate().unwrap().minimum(3, 40),
        microseconds(10_500),
        1e-6,
    );
    assert_eq!(
        time.confirmed_estimate(),
        None,
        "it may have been slow for once"
    );
    assert!(line(2).confirmed_estimate().is_some());
}

#[test]
fn two_batches_do_not_say_that_any_takes_longer_than_they_did() {
    let held_up = measured([
        (1, microseconds(1_000)),
        (3, microseconds(1_000_000)),
        (2, microseconds(1_000)),
    ]);
    let estimate = held_up.estimate().unwrap();
    assert!(
        estimate.minimum(1, 32) <= microseconds(1_000_000),
        "{estimate:?}"
    );
    let estimate = line(5).estimate().unwrap();
    assert_close(estimate.minimum(1, 32), microseconds(19_000), 1e-6);
}

#[test]
fn a_batch_that_was_stopped_counts_where_it_took_longer_than_expected() {
    let stopped = |rows, after| BatchLatency { rows, took: after };
    let mut time = LatencyModel::default();
    time.observe_cancelled(stopped(8, microseconds(5_000)));
    assert_close(
        time.estimate().unwrap().minimum(1, 8),
        microseconds(5_000),
        1e-6,
    );
    time.observe_cancelled(stopped(8, microseconds(9_000)));
    assert!(time.estimate().unwrap().minimum(1, 8) > microseconds(5_000));
    let before = time.estimate();
    time.observe_cancelled(stopped(8, microseconds(100)));
    assert_eq!(time.estimate(), before, "its clients left early");
}

#[test]
fn room_is_left_for_batches_that_take_more_or_less_than_expected() {
    let took = |batch: usize| {
        if batch.is_multiple_of(2) {
            8_000
        } else {
            12_000
        }
    };
    let uneven = measured((0..200).map(|batch| (4, microseconds(took(batch)))));
    // A fifth, three times.
    assert_close(
        uneven.estimate().unwrap().upper_bound(4),
        microseconds(16_000),
        0.05,
    );
    let even = measured((0..200).map(|_| (4, microseconds(10_000))));
    assert_close(
        even.estimate().unwrap().upper_bound(4),
        microseconds(10_000),
        1e-6,
    );
    let wild = measured((0..200).map(|batch| (4, microseconds(1_000 * 9_u64.pow(batch % 2)))));
    let estimate = wild.estimate().unwrap();
    assert!(
        estimate.upper_bound(4) <= 2 * estimate.minimum(1, 4),
        "never more than twice"
    );
}

#[test]
fn rows_within_a_time_are_the_most_that_are_safe() {
    let estimate = line(40).estimate().unwrap();
    let rows = |time| estimate.rows_within(microseconds(time), 32);
    assert_eq!(
        [0, 3_499, 3_501, 8_001, 19_001].map(rows),
        [0, 0, 1, 10, 32]
    );
    assert_eq!(rows(1_000_000), 32);
}

#[test]
fn a_line_is_found() {
    let estimate = line(40).estimate().unwrap();
    assert_close(estimate.minimum(1, 1), microseconds(3_500), 1e-6);
    assert_close(estimate.minimum(1, 32), microseconds(19_000), 1e-6);
    assert_close(estimate.minimum(3, 10), microseconds(14_000), 1e-6);
}

#[test]
fn one_size_says_no_more_than_it_can() {
    let time = measured((0..20).map(|_| (4, microseconds(8_000))));
    let estimate = time.estimate().unwrap();
    assert_eq!(estimate.line(), None);
    assert_close(estimate.minimum(1, 4), microseconds(8_000), 1e-6);
    assert_close(estimate.minimum(1, 8), microseconds(8_000), 1e-6);
    assert_close(estimate.minimum(1, 1), microseconds(2_000), 1e-6);
    assert_close(estimate.minimum(3, 12), microseconds(24_000), 1e-6);
}

#[test]
fn neither_term_is_negative() {
    let falling = measured((1..20).map(|rows| (rows, microseconds(1_000 - 10 * rows as u64))));
    let (fixed, per_row) = falling.estimate().unwrap().line().unwrap();
    assert!(per_row == 0.0 && fixed > 0.0);
    let steep = measured((1..20).map(|rows| (rows, microseconds((rows * rows) as u64))));
    let (fixed, per_row) = steep.estimate().unwrap().line().unwrap();
    assert!(fixed == 0.0 && per_row > 0.0);
}

#[test]
fn one_stall_moves_the_fit_by_little() {
    let mut time = line(200);
    let before = time.estimate().unwrap().minimum(1, 8);
    measure(&mut time, 4, Duration::from_secs(60));
    assert_close(time.estimate().unwrap().minimum(1, 8), before, 0.2);
}

#[test]
fn a_machine_that_became_slow_is_followed() {
    let mut time = line(200);
    for batch in 0..120 {
        let rows = batch % 8 + 1;
        measure(
            &mut time,
            rows,
            microseconds(10 * (3_000 + 500 * rows as u64)),
        );
    }
    assert_close(
        time.estimate().unwrap().minimum(1, 8),
        microseconds(70_000),
        0.1,
    );
}

#[test]
fn too_high_a_fit_comes_down_within_a_few_batches() {
    let mut time = measured((0..50).map(|batch| (batch % 8 + 1, Duration::from_secs(100))));
    let mut batches = 0;
    while time.estimate().unwrap().minimum(1, 8) > microseconds(14_000) {
        batches += 1;
        measure(
            &mut time,
            batches % 8 + 1,
            microseconds(3_000 + 500 * (batches % 8 + 1) as u64),
        );
    }
    assert!(batches < 20, "{batches}");
}

#[test]
fn the_first_batch_of_all_may_be_slow() {
    let mut time = measured([(1, Duration::from_secs(10))]);
    for _batch in 0..4 {
        measure(&mut time, 1, microseconds(100));
    }
    assert!(
        time.estimate().unwrap().minimum(1, 1) < microseconds(2_000),
        "{time:?}"
    );
    for _batch in 0..4 {
        measure(&mut time, 1, microseconds(100));
    }
    assert_close(
        time.estimate().unwrap().minimum(1, 1),
        microseconds(100),
        0.5,
    );
}

#[test]
fn batches_that_take_no_time_are_no_trap() {
    let mut time = measured((0..50).map(|_| (1, Duration::ZERO)));
    assert_eq!(time.estimate().unwrap().minimum(1, 1), Duration::ZERO);
    for _batch in 0..200 {
        measure(&mut time, 1, microseconds(10_000));
    }
    assert_close(
        time.estimate().unwrap().minimum(1, 1),
        microseconds(10_000),
        0.1,
    );
}

proptest! {
    #[test]
    fn estimates_are_never_negative_and_grow_with_the_work(
        batches in vec((1_usize..64, 0_u64..10_000_000), 5..200),
        (few, more) in (1_usize..64, 1_usize..64),
    ) {
        let time = measured(batches.into_iter().map(|(rows, took)| (rows, microseconds(took))));
        let estimate = time.estimate().unwrap();
        if let Some((fixed, per_row)) = estimate.line() {
            prop_assert!(fixed >= 0.0 && per_row >= 0.0);
        }
        prop_assert!(estimate.upper_bound(few) >= estimate.minimum(1, few));
        prop_assert!(estimate.minimum(1, few) <= estimate.minimum(1, few + more));
        prop_assert!(estimate.minimum(1, few) <= estimate.minimum(2, few));
    }

    #[test]
    fn a_line_is_found_whatever_it_is(
        fixed in 0_u64..100_000,
        per_row in 0_u64..10_000,
        sizes in vec(1_usize..64, 12..100),
    ) {
        let took = |rows: usize| microseconds(fixed + per_row * rows as u64);
        // Extremes first: early values must not count as surprises later.
        let sizes = [1, 64, 1, 64, 1, 64].into_iter().chain(sizes);
        let time = measured(sizes.map(|rows| (rows, took(rows))));
        for rows in [1, 10, 64] {
            let (least, exact) = (time.estimate().unwrap().minimum(1, rows), took(rows));
            prop_assert!(least.abs_diff(exact) <= exact / 1_000 + microseconds(1), "{:?}", time);
        }
    }
}
