use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::random::RandomSequence;

const MAX_ROWS: usize = 32;
const LIFETIME: Duration = Duration::from_secs(5);

fn rows(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn pod(workers: usize, cpus: f64, overhead: f64) -> PodCapacity {
    PodCapacity {
        workers: rows(workers),
        cpus,
        overhead,
    }
}

/// A batch of rows with one element each, whose worker is always on a cpu.
fn ran(rows: usize, seconds: f64) -> BatchCost {
    let took = Duration::from_secs_f64(seconds);
    BatchCost {
        rows,
        elements: rows,
        took,
        cpu_time: took,
    }
}

fn learnt(batches: &[(usize, f64)]) -> CostModel {
    let batches: Vec<BatchCost> = batches
        .iter()
        .map(|&(rows, seconds)| ran(rows, seconds))
        .collect();
    CostModel::new(rows(MAX_ROWS), &batches)
}

fn price(cost_model: &mut CostModel, pod: &PodCapacity) -> f64 {
    cost_model.arrives(rows(1), 1, LIFETIME).unwrap().takes(pod)
}

#[track_caller]
fn assert_close(value: f64, expected: f64) {
    assert!((value / expected - 1.0).abs() < 1e-3, "{value}, {expected}");
}

#[test]
fn a_request_takes_its_part_of_a_full_batch_on_all_workers() {
    let mut cost_model = learnt(&[(1, 0.011), (32, 0.042)]);
    assert_close(price(&mut cost_model, &pod(1, 8.0, 0.0)), 0.042 / 32.0);
    assert_close(price(&mut cost_model, &pod(2, 8.0, 0.0)), 0.042 / 64.0);
    let four = cost_model.arrives(rows(4), 4, LIFETIME).unwrap();
    assert_close(four.takes(&pod(1, 8.0, 0.0)), 4.0 * 0.042 / 32.0);
}

#[test]
fn a_request_that_runs_alone_takes_its_own_batch_whatever_its_rows() {
    let mut cost_model = learnt(&[(1, 0.011), (32, 0.042)]);
    cost_model.run_alone();
    let pod = pod(2, 8.0, 0.0);
    assert_close(price(&mut cost_model, &pod), 0.011 / 2.0);
    let large = cost_model.arrives(rows(100), 100, LIFETIME).unwrap();
    assert_close(large.takes(&pod), 0.110 / 2.0);
    for _ in 0..100 {
        cost_model.ran(ran(100, 0.110));
    }
    assert_close(price(&mut cost_model, &pod), 0.011 / 2.0);
}

#[test]
fn a_long_text_takes_more_than_a_short_one() {
    let mut cost_model = learnt(&[(1, 0.011), (32, 0.042)]);
    let long = cost_model.arrives(rows(1), 20, LIFETIME).unwrap();
    assert_close(long.takes(&pod(1, 8.0, 0.0)), 0.010 / 32.0 + 0.020);
}

#[test]
fn a_small_part_of_a_processor_counts_though_one_batch_runs_at_full_speed() {
    let mut cost_model = learnt(&[(1, 0.011), (32, 0.042)]);
    assert_close(
        price(&mut cost_model, &pod(1, 0.2, 0.0)),
        0.042 / 32.0 / 0.2,
    );
}

#[test]
fn throttled_batches_count_once() {
    let mut cost_model = CostModel::new(rows(MAX_ROWS), &[]);
    for (rows, seconds) in [(1, 0.011), (32, 0.042)] {
        let mut throttled = ran(rows, seconds);
        throttled.took = throttled.took.mul_f64(5.0);
        cost_model.ran(throttled);
    }
    assert_close(
        price(&mut cost_model, &pod(1, 0.2, 0.0)),
        0.042 / 32.0 / 0.2,
    );
}

#[test]
fn where_the_model_is_small_all_else_that_is_done_for_a_request_counts() {
    let mut cost_model = learnt(&[(1, 10e-6), (32, 40e-6)]);
    cost_model.ran(ran(1, 10e-6));
    let price = price(&mut cost_model, &pod(1, 2.0, 50e-6));
    assert_close(price, (50e-6 + 10e-6) / 2.0);
}

#[test]
fn batches_grow_until_the_model_takes_no_more_than_the_rest() {
    let mut cost_model = learnt(&[(1, 101e-6), (32, 132e-6)]);
    let price = price(&mut cost_model, &pod(1, 1.0, 26e-6));
    assert_close(price, 52e-6);
}

#[test]
fn what_full_batches_save_is_not_forgotten_while_the_pod_is_hardly_busy() {
    let mut cost_model = learnt(&[(1, 0.011), (32, 0.042)]);
    for _ in 0..100_000 {
        cost_model.ran(ran(1, 0.011));
    }
    assert_close(price(&mut cost_model, &pod(1, 8.0, 0.0)), 0.042 / 32.0);
}

#[test]
fn one_size_alone_says_nothing_about_larger_batches() {
    let mut cost_model = learnt(&[(1, 0.011)]);
    assert_close(price(&mut cost_model, &pod(1, 8.0, 0.0)), 0.011);
}

#[test]
fn a_short_deadline_makes_smaller_batches() {
    let mut cost_model = learnt(&[(1, 0.011), (32, 0.042)]);
    let arrival = cost_model
        .arrives(rows(1), 1, Duration::from_millis(40))
        .unwrap();
    assert_close(arrival.takes(&pod(1, 8.0, 0.0)), 0.020 / 10.0);
}

#[test]
fn what_arrives_before_anything_is_known_counts_later() {
    let mut cost_model = CostModel::new(rows(MAX_ROWS), &[]);
    for _ in 0..9 {
        assert_eq!(cost_model.arrives(rows(2), 2, LIFETIME), None);
    }
    cost_model.ran(ran(1, 0.010));
    let all = cost_model.arrives(rows(2), 2, LIFETIME).unwrap();
    assert_close(all.rows(), 20.0);
    assert_close(all.takes(&pod(1, 8.0, 0.0)), 0.200);
    assert_close(
        cost_model.arrives(rows(2), 2, LIFETIME).unwrap().rows(),
        2.0,
    );
}

#[test]
fn one_stall_changes_little() {
    let mut cost_model = learnt(&[(32, 0.042); 32]);
    cost_model.ran(ran(32, 20.0));
    let price = price(&mut cost_model, &pod(1, 8.0, 0.0));
    assert!(price < 1.1 * 0.042 / 32.0, "{price}");
}

#[test]
fn a_batch_that_was_stopped_counts_where_it_ran_longer_than_expected() {
    let mut cost_model = learnt(&[(32, 0.042)]);
    cost_model.stopped(ran(32, 0.001));
    assert_close(price(&mut cost_model, &pod(1, 8.0, 0.0)), 0.042 / 32.0);
    cost_model.stopped(ran(32, 0.084));
    assert_close(price(&mut cost_model, &pod(1, 8.0, 0.0)), 0.063 / 32.0);
}

/// A pod with one worker, in virtual time.
struct SimulatedPod {
    fixed: f64,
    per_row: f64,
    /// Processors that it may have, in periods of 100 ms.
    quota: f64,
    /// Whether one row and a full batch were measured before.
    measured: bool,
}

impl SimulatedPod {
    const PERIOD: f64 = 0.1;

    fn takes(&self, rows: usize) -> f64 {
        self.fixed + self.per_row * rows as f64
    }

    fn capacity(&self) -> f64 {
        MAX_ROWS as f64 / self.takes(MAX_ROWS) * self.quota.min(1.0)
    }

    /// When so much work that begins now is done, where `used` was used of the period.
    fn ends(&self, now: f64, mut work: f64, used: &mut (f64, f64)) -> f64 {
        let mut now = now;
        loop {
            let period = (now / Self::PERIOD).floor();
            if used.0 != period {
                *used = (period, 0.0);
            }
            let left = (self.quota * Self::PERIOD - used.1)
                .min((period + 1.0) * Self::PERIOD - now)
                .max(0.0);
            if work <= left {
                used.1 += work;
                return now + work;
            }
            work -= left;
            now = (period + 1.0) * Self::PERIOD + 1e-9;
        }
    }

    /// Offered load in percent of the pod's capacity between 5 s and 15 s. Arrivals are random, at `times` its capacity,
    /// and the queue has 256 rows.
    fn load(&self, times: f64) -> f64 {
        let before = [1, MAX_ROWS].map(|rows| ran(rows, self.takes(rows)));
        let before = if self.measured { &before[..] } else { &[] };
        let mut cost_model = CostModel::new(rows(MAX_ROWS), before);
        let pod = pod(1, self.quota, 0.0);
        let mut random = RandomSequence(1);
        let rate = times * self.capacity();
        let (mut offered, mut arrival, mut used) = (0.0, 0.0, (0.0, 0.0));
        let mut waiting = VecDeque::new();
        let mut running: Option<(f64, f64, usize)> = None;
        while arrival < 15.0 {
            if let Some((began, ends, rows)) = running
                && ends <= arrival
            {
                let mut batch = ran(rows, ends - began);
                batch.cpu_time = Duration::from_secs_f64(self.takes(rows));
                cost_model.ran(batch);
                let rows = waiting.len().min(MAX_ROWS);
                waiting.drain(..rows);
                running = (rows > 0).then(|| {
                    let noisy = self.takes(rows) * (0.9 + 0.2 * random.next());
                    (ends, self.ends(ends, noisy, &mut used), rows)
                });
                continue;
            }
            if let Some(arrived) = cost_model.arrives(rows(1), 1, LIFETIME)
                && arrival > 5.0
            {
                offered += arrived.takes(&pod);
            }
            if running.is_none() {
                let noisy = self.takes(1) * (0.9 + 0.2 * random.next());
                running = Some((arrival, self.ends(arrival, noisy, &mut used), 1));
            } else if waiting.len() < 256 {
                waiting.push_back(());
            }
            arrival -= random.next().max(1e-9).ln() / rate;
        }
        100.0 * offered / 10.0
    }
}

#[test]
fn the_load_is_what_arrives_over_what_the_pod_can_do() {
    for (fixed, per_row) in [(0.0001, 0.005), (0.002, 0.002), (0.010, 0.0002)] {
        for quota in [0.2, 0.5, 8.0] {
            for measured in [false, true] {
                let simulated = SimulatedPod {
                    fixed,
                    per_row,
                    quota,
                    measured,
                };
                for times in [0.5, 0.75, 1.0, 3.0] {
                    let off = simulated.load(times) / times;
                    let case = (fixed, per_row, quota, measured, times);
                    assert!((90.0..125.0).contains(&off), "{off} at {case:?}");
                }
            }
        }
    }
}

#[test]
fn a_pod_that_is_hardly_busy_does_not_take_itself_for_small() {
    for quota in [0.2, 8.0] {
        let simulated = SimulatedPod {
            fixed: 0.010,
            per_row: 0.0002,
            quota,
            measured: true,
        };
        let load = simulated.load(0.05);
        assert!((4.0..7.0).contains(&load), "{load} within {quota}");
    }
}

proptest! {
    #[test]
    fn exact_costs_are_found(
        fixed in 1e-6..0.1,
        per_row in 1e-6..0.1,
        sizes in prop::collection::hash_set(0_u32..6, 2..6),
    ) {
        let sizes: Vec<_> = sizes.into_iter().map(|power| 1_usize << power).collect();
        let batches: Vec<_> = sizes
            .iter()
            .map(|&rows| (rows, fixed + per_row * rows as f64))
            .collect();
        let mut cost_model = learnt(&batches);
        let expected: f64 = fixed / 32.0 + per_row;
        let found: f64 = cost_model
            .arrives(rows(1), 1, Duration::from_secs(100))
            .unwrap()
            .takes(&pod(1, 8.0, 0.0));
        prop_assert!((found / expected - 1.0).abs() < 1e-2, "{found}, {expected}");
    }

    #[test]
    fn whatever_ran_a_request_takes_a_finite_time_and_two_take_twice_as_long(
        batches in prop::collection::vec((1_usize..=32, 0_usize..1_000_000, 0_u64..100_000_000, 0_u64..100_000_000), 1..50),
        count in 1_usize..=16,
        elements in 0_usize..10_000,
        lifetime in 0_u64..100_000,
        cpus in 0.0..64.0,
        overhead in 0.0..0.01,
    ) {
        let mut cost_model = CostModel::new(rows(MAX_ROWS), &[]);
        for (rows, elements, took, cpu_time) in batches {
            cost_model.ran(BatchCost {
                rows,
                elements,
                took: Duration::from_micros(took),
                cpu_time: Duration::from_micros(cpu_time),
            });
        }
        let pod = pod(2, cpus, overhead);
        let lifetime = Duration::from_millis(lifetime);
        let one = cost_model.arrives(rows(count), elements, lifetime).unwrap().takes(&pod);
        prop_assert!(one.is_finite() && one >= 0.0, "{one}");
        let before = Work {
            requests: 1.0,
            rows: count as f64,
            elements: elements as f64,
        };
        cost_model.unknown = before;
        let two = cost_model.arrives(rows(count), elements, lifetime).unwrap().takes(&pod);
        prop_assert!((two - 2.0 * one).abs() <= 1e-9 * two, "{one}, {two}");
    }
}
