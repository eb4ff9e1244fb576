//! What the queries read at their edges, in the engine that Prometheus itself evaluates them with.

use std::{collections::BTreeMap, ops::Range};

use springtide_api::targets::Signal;

use super::{
    queries,
    scraped::{Pod, Prometheus},
};

/// What `signal` asks for, of one pod.
const TARGET: i32 = 20;

fn reads(
    test: &str,
    prometheus: &Prometheus,
    signal: Signal,
    when: Range<i64>,
) -> BTreeMap<i64, Option<f64>> {
    let interval = u16::try_from(prometheus.interval).unwrap();
    let query = queries(interval, TARGET).remove(signal.as_str()).unwrap();
    prometheus.reads(test, &query, when)
}

#[track_caller]
fn assert_within(reads: &BTreeMap<i64, Option<f64>>, least: f64, most: f64) {
    for (second, read) in reads {
        let read = read.unwrap_or_else(|| panic!("no data at {second} s: {reads:?}"));
        assert!(
            (least..=most).contains(&read),
            "{read} at {second} s, not {least} to {most}: {reads:?}"
        );
    }
}

/// Three pods, each of which gets 33 requests in a second, scraped at different times.
fn three() -> Prometheus {
    let arrived = |second| 33.0 * second as f64;
    Prometheus {
        interval: 5,
        pods: vec![
            Pod::old("a", 0, arrived),
            Pod::old("b", 2, arrived),
            Pod::old("c", 4, arrived),
        ],
        away: -1..-1,
    }
}

/// The signals that are sums of what 33 requests a second are for each of three pods.
const SUMS: [Signal; 2] = [Signal::RequestsPerSecond, Signal::LoadPercent];

#[test]
fn pods_are_summed_up() {
    for signal in SUMS {
        let reads = reads("summed", &three(), signal, 60..90);
        assert_within(&reads, 98.9, 99.1);
    }
}

/// Its data is on a volume that goes with its pod, so it begins with nothing. What was lost once:
/// with the first pod's rate and without the others', three pods read as one.
#[test]
fn no_pod_goes_when_prometheus_begins_anew() {
    for signal in SUMS {
        let mut prometheus = three();
        prometheus.away = 0..42;
        let reads = reads("anew", &prometheus, signal, 42..80);
        let first = *reads.iter().find(|(_, read)| read.is_some()).unwrap().0;
        assert!(first <= 52, "{reads:?}");
        let reads = reads
            .into_iter()
            .filter(|(second, _)| *second >= first)
            .collect();
        // One pod's 33 and two on target, at least.
        assert_within(&reads, 72.9, 99.1);
    }
}

#[test]
fn no_pod_goes_when_prometheus_is_back() {
    for (signal, away) in SUMS
        .into_iter()
        .flat_map(|signal| [(signal, 60..75), (signal, 60..300)])
    {
        let (back, mut prometheus) = (away.end, three());
        prometheus.away = away;
        let reads = reads("back", &prometheus, signal, back..back + 60);
        let reads = reads
            .into_iter()
            .filter(|(_, read)| read.is_some())
            .collect();
        assert_within(&reads, 72.9, 99.1);
    }
}

/// `rate` alone reads 13 to 38 percent less of the pod.
#[test]
fn a_failed_scrape_changes_nothing() {
    for signal in SUMS {
        let mut prometheus = three();
        prometheus.pods[1].unread = 60..65;
        let reads = reads("failed-scrape", &prometheus, signal, 60..90);
        assert_within(&reads, 98.9, 99.1);
    }
}

#[test]
fn a_pod_that_is_not_scraped_for_long_counts_as_on_target_until_it_is_gone() {
    for signal in SUMS {
        let mut prometheus = three();
        prometheus.pods[1].unread = 60..i64::MAX;
        prometheus.pods[1].there = 0..500;
        let reads = reads("unread", &prometheus, signal, 60..530);
        let during = |when: Range<i64>| {
            reads
                .clone()
                .into_iter()
                .filter(|(s, _)| when.contains(s))
                .collect()
        };
        assert_within(&during(60..500), 85.9, 99.1);
        assert_within(&during(90..500), 85.9, 86.1);
        assert_within(&during(500..530), 65.9, 66.1);
    }
}

#[test]
fn gauges_count_an_unread_pod_as_on_target_too() {
    for signal in [Signal::QueueSize, Signal::Concurrency] {
        let mut prometheus = three();
        for pod in &mut prometheus.pods {
            pod.waiting = 30.0;
        }
        assert_within(&reads("gauges", &prometheus, signal, 60..65), 89.9, 90.1);
        prometheus.pods[1].unread = 60..i64::MAX;
        assert_within(&reads("gauges", &prometheus, signal, 90..95), 79.9, 80.1);
    }
}

#[test]
fn no_scraped_pod_is_no_data() {
    for signal in springtide_plan::ServingSignal::ALL {
        let mut prometheus = three();
        for pod in &mut prometheus.pods {
            pod.unread = 60..i64::MAX;
        }
        let reads = reads("unscraped", &prometheus, signal.signal(), 90..120);
        assert!(reads.values().all(Option::is_none), "{signal:?}: {reads:?}");
    }
}

#[test]
fn no_traffic_is_zero() {
    for signal in springtide_plan::ServingSignal::ALL {
        let mut prometheus = three();
        for pod in &mut prometheus.pods {
            pod.arrived = |_| 7.0;
        }
        assert_within(
            &reads("idle", &prometheus, signal.signal(), 60..70),
            0.0,
            0.0,
        );
    }
}

/// It is a target before it can be scraped, and has one reading before it has two.
#[test]
fn a_pod_that_starts_brings_no_other() {
    for signal in SUMS {
        let mut prometheus = three();
        prometheus.pods.push(Pod {
            started: 70,
            there: 60..i64::MAX,
            ..Pod::old("new", 3, |second| 11.0 * (second - 72).max(0) as f64)
        });
        let reads = reads("starts", &prometheus, signal, 60..120);
        let before = reads.clone().into_iter().filter(|(s, _)| *s < 73).collect();
        assert_within(&before, 98.9, 99.1);
        let meanwhile = reads
            .clone()
            .into_iter()
            .filter(|(s, _)| *s >= 73)
            .collect();
        assert_within(&meanwhile, 98.9, 110.1);
        // With its second reading it is read in full, its window being far from full.
        let second_reading = reads.into_iter().filter(|(s, _)| *s >= 83).collect();
        assert_within(&second_reading, 107.0, 110.1);
    }
}

/// All at once: the new pods take the load over, and the old ones are gone.
#[test]
fn a_rollout_asks_for_no_less_and_little_more() {
    for signal in SUMS {
        let mut prometheus = three();
        for pod in &mut prometheus.pods {
            pod.arrived = |second| 33.0 * second.min(80) as f64;
            pod.there = 0..81;
        }
        for (name, offset) in [("d", 1), ("e", 2), ("f", 3)] {
            prometheus.pods.push(Pod {
                started: 65,
                there: 60..i64::MAX,
                ..Pod::old(name, offset, |second| 33.0 * (second - 80).max(0) as f64)
            });
        }
        let reads = reads("rollout", &prometheus, signal, 60..140);
        assert_within(&reads, 88.0, 105.0);
        let after = reads.into_iter().filter(|(s, _)| *s >= 106).collect();
        assert_within(&after, 98.9, 99.1);
    }
}

#[test]
fn a_container_that_restarts_is_no_load_and_no_loss() {
    for signal in SUMS {
        let mut prometheus = three();
        prometheus.pods[1].arrived =
            |second| 33.0 * if second < 62 { second } else { second - 61 } as f64;
        let reads = reads("restart", &prometheus, signal, 60..100);
        assert_within(&reads, 80.0, 99.1);
    }
}

#[test]
fn requests_without_an_answer_have_no_p95() {
    let mut prometheus = three();
    let signal = Signal::P95LatencyMilliseconds;
    assert_within(&reads("answered", &prometheus, signal, 60..65), 97.0, 98.0);
    for pod in &mut prometheus.pods {
        pod.answered = 0.0;
    }
    let reads = reads("unanswered", &prometheus, signal, 60..65);
    assert!(reads.values().all(Option::is_none), "{reads:?}");
}

/// Four times as much from one second to the next.
#[test]
fn a_jump_is_read_with_the_next_scrapes() {
    for signal in SUMS {
        let mut prometheus = three();
        for pod in &mut prometheus.pods {
            pod.arrived = |second| 33.0 * second as f64 + 99.0 * (second - 62).max(0) as f64;
        }
        let reads = reads("jump", &prometheus, signal, 60..90);
        let soon = reads
            .clone()
            .into_iter()
            .filter(|(s, _)| *s >= 69)
            .collect();
        assert_within(&soon, 250.0, 397.0);
        let later = reads.into_iter().filter(|(s, _)| *s >= 73).collect();
        assert_within(&later, 380.0, 397.0);
    }
}
