//! Edge cases of the queries, evaluated by Prometheus' own engine.

use std::{
    collections::BTreeMap,
    ops::{Range, RangeBounds},
};

use springtide_api::targets::Signal;

use super::{
    queries,
    scraped::{Pod, Prometheus},
};

/// The target of a signal, per pod.
const TARGET: i32 = 20;

/// The readings at each second, if there was data.
pub(super) type Reads = BTreeMap<i64, Option<f64>>;

pub(super) fn reads(
    test: &str,
    prometheus: &Prometheus,
    signal: Signal,
    when: Range<i64>,
) -> Reads {
    let interval = u16::try_from(prometheus.interval).unwrap();
    let query = queries(interval, TARGET).remove(signal.as_str()).unwrap();
    prometheus.reads(test, &query, when)
}

#[track_caller]
pub(super) fn assert_within(reads: &Reads, least: f64, most: f64) {
    for (second, read) in reads {
        let read = read.unwrap_or_else(|| panic!("no data at {second} s: {reads:?}"));
        assert!(
            (least..=most).contains(&read),
            "{read} at {second} s, not {least} to {most}: {reads:?}"
        );
    }
}

fn during(reads: &Reads, when: impl RangeBounds<i64>) -> Reads {
    reads
        .range(when)
        .map(|(second, read)| (*second, *read))
        .collect()
}

/// Without the seconds that had no data.
fn with_data(mut reads: Reads) -> Reads {
    reads.retain(|_, read| read.is_some());
    reads
}

/// Signals, with scrape intervals of 5 and of 15 seconds.
fn at_both_intervals(signals: [Signal; 2]) -> impl Iterator<Item = (Signal, i64)> {
    signals
        .into_iter()
        .flat_map(|signal| [(signal, 5), (signal, 15)])
}

/// Three pods, each with 33 requests per second, scraped at different times.
pub(super) fn three() -> Prometheus {
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

/// The signals that are sums, with their targets for 33 requests per second at each of three pods.
pub(super) const SUMS: [Signal; 2] = [Signal::RequestsPerSecond, Signal::LoadPercent];

/// The signals that are sums of gauges.
pub(super) const GAUGES: [Signal; 2] = [Signal::QueueSize, Signal::Concurrency];

#[test]
fn pods_are_summed_up() {
    for signal in SUMS {
        let reads = reads("summed", &three(), signal, 60..90);
        assert_within(&reads, 98.9, 99.1);
    }
}

/// Its data is on a volume of its pod, so it starts empty. This covers a regression: with only the first pod's rate,
/// three pods read as one.
#[test]
fn no_pod_is_removed_when_prometheus_starts_empty() {
    for signal in SUMS {
        let mut prometheus = three();
        prometheus.away = 0..42;
        let reads = reads("anew", &prometheus, signal, 42..80);
        let first = *reads.iter().find(|(_, read)| read.is_some()).unwrap().0;
        assert!(first <= 52, "{reads:?}");
        // One pod's 33, and at least two pods on target.
        assert_within(&during(&reads, first..), 72.9, 99.1);
    }
}

#[test]
fn no_pod_is_removed_by_its_queue_when_prometheus_starts_empty_or_returns() {
    for signal in GAUGES {
        for away in [0..150, 60..160] {
            let (back, mut prometheus) = (away.end, three());
            prometheus.interval = 15;
            prometheus.away = away;
            for pod in &mut prometheus.pods {
                pod.waiting = 33.0;
            }
            let reads = with_data(reads("queues", &prometheus, signal, back..back + 60));
            assert!(reads.len() > 20, "{reads:?}");
            assert_within(&reads, 72.9, 99.1);
        }
    }
}

/// The quantile of an idle pod isn't that of all pods.
#[test]
fn an_idle_pod_that_is_read_first_is_no_p95_of_zero() {
    let mut prometheus = three();
    prometheus.away = 0..45;
    prometheus.pods[0].arrived = |_| 7.0;
    let reads = reads(
        "idle-first",
        &prometheus,
        Signal::P95LatencyMilliseconds,
        45..80,
    );
    assert!(
        reads.values().flatten().all(|read| *read > 90.0),
        "{reads:?}"
    );
    assert!(reads[&70].is_some(), "{reads:?}");
}

#[test]
fn no_pod_is_removed_when_prometheus_returns() {
    for (signal, away) in SUMS
        .into_iter()
        .flat_map(|signal| [(signal, 60..75), (signal, 60..300)])
    {
        let (back, mut prometheus) = (away.end, three());
        prometheus.away = away;
        let reads = with_data(reads("back", &prometheus, signal, back..back + 60));
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
        assert_within(&during(&reads, 60..500), 85.9, 99.1);
        assert_within(&during(&reads, 90..500), 85.9, 86.1);
        assert_within(&during(&reads, 500..530), 65.9, 66.1);
    }
}

#[test]
fn gauges_count_an_unread_pod_as_on_target_too() {
    for signal in GAUGES {
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
    for signal in springtide_api::targets::Signal::of_server() {
        let mut prometheus = three();
        for pod in &mut prometheus.pods {
            pod.unread = 60..i64::MAX;
        }
        let reads = reads("unscraped", &prometheus, signal, 90..120);
        assert!(reads.values().all(Option::is_none), "{signal:?}: {reads:?}");
    }
}

#[test]
fn no_traffic_is_zero() {
    for signal in springtide_api::targets::Signal::of_server() {
        let mut prometheus = three();
        for pod in &mut prometheus.pods {
            pod.arrived = |_| 7.0;
        }
        assert_within(&reads("idle", &prometheus, signal, 60..70), 0.0, 0.0);
    }
}

/// A new pod is a target before its first scrape, and has one reading before two.
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
        assert_within(&during(&reads, ..73), 98.9, 99.1);
        assert_within(&during(&reads, 73..), 98.9, 110.1);
        assert_within(&during(&reads, 92..), 109.9, 110.1);
    }
}

/// Pods, and from [`MOVED`] on some new ones, which started shortly before and take load over.
fn handover(interval: i64, mut pods: Vec<Pod>, names: &[&'static str]) -> Prometheus {
    for (offset, name) in names.iter().enumerate() {
        pods.push(Pod {
            started: MOVED - 4,
            there: MOVED - 8..i64::MAX,
            ..Pod::old(name, i64::try_from(offset).unwrap() + 1, since_moved)
        });
    }
    Prometheus {
        interval,
        pods,
        away: -1..-1,
    }
}

/// When load moves from old pods to new ones.
const MOVED: i64 = 120;

fn three_until_moved() -> Vec<Pod> {
    let mut pods = three().pods;
    for pod in &mut pods {
        pod.arrived = |second| 33.0 * second.min(MOVED) as f64;
        pod.there = -1000..MOVED + 2;
    }
    pods
}

fn since_moved(second: i64) -> f64 {
    33.0 * (second - MOVED).max(0) as f64
}

/// All at once: the new pods take the load over, and the old ones are deleted.
#[test]
fn a_rollout_brings_no_pod() {
    for (signal, interval) in at_both_intervals(SUMS) {
        let prometheus = handover(interval, three_until_moved(), &["d", "e", "f"]);
        let reads = reads("rollout", &prometheus, signal, 100..200);
        assert_within(&reads, 60.0, 106.0);
        assert_within(&during(&reads, 186..), 98.9, 99.1);
    }
}

/// The model is loaded long after the server has started. Its series start then.
#[test]
fn a_rollout_of_pods_that_load_for_long_brings_no_pod() {
    for (signal, interval) in at_both_intervals(SUMS) {
        let mut prometheus = handover(interval, three_until_moved(), &["d", "e", "f"]);
        for pod in &mut prometheus.pods[3..] {
            pod.started = 10;
            pod.there = 5..i64::MAX;
            pod.models = vec![("iris", MOVED - 4..i64::MAX)];
        }
        let reads = reads("slow-rollout", &prometheus, signal, 100..200);
        assert_within(&reads, 60.0, 106.0);
    }
}

/// Two pods become four, which share the load.
#[test]
fn a_scale_up_brings_no_more_pods_than_it_should() {
    for (signal, interval) in at_both_intervals(SUMS) {
        let halved = |second: i64| 66.0 * second.min(MOVED) as f64 + since_moved(second);
        let old = vec![Pod::old("a", 0, halved), Pod::old("b", 3, halved)];
        let prometheus = handover(interval, old, &["c", "d"]);
        let reads = reads("scale-up", &prometheus, signal, 100..200);
        assert_within(&reads, 100.0, 145.0);
    }
}

/// The last reading of a deleted pod stays in a range.
#[test]
fn gauges_of_pods_that_are_gone_do_not_count() {
    for (signal, interval) in at_both_intervals(GAUGES) {
        let mut prometheus = handover(interval, three_until_moved(), &["d", "e", "f"]);
        for pod in &mut prometheus.pods {
            pod.waiting = 33.0;
        }
        let reads = with_data(reads("gone-gauges", &prometheus, signal, MOVED + 3..200));
        assert_within(&reads, 33.0, 99.1);
        assert!(reads.contains_key(&170), "{reads:?}");
        assert_within(&during(&reads, 170..), 98.9, 99.1);
    }
}

/// A pod of another Service is scraped at the address of a previous pod of this one.
#[test]
fn an_address_that_another_pod_has_now_counts_no_pod() {
    for signal in SUMS {
        let mut prometheus = three();
        prometheus.pods[1].there = 0..80;
        prometheus.pods.push(Pod {
            address: "b",
            there: 82..i64::MAX,
            models: vec![],
            // Never scraped successfully: only its target is known.
            unread: 0..i64::MAX,
            ..Pod::old("other", 2, |_| 0.0)
        });
        let reads = reads("address", &prometheus, signal, 110..200);
        assert_within(&reads, 65.9, 66.1);
    }
}

#[test]
fn a_model_that_is_renamed_is_no_load() {
    for (signal, interval) in at_both_intervals(SUMS) {
        let mut prometheus = three();
        prometheus.interval = interval;
        for pod in &mut prometheus.pods {
            pod.models = vec![("iris", i64::MIN..MOVED), ("iris-2", MOVED..i64::MAX)];
        }
        let reads = reads("renamed", &prometheus, signal, 100..200);
        assert_within(&reads, 60.0, 125.0);
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

/// Four times the load from one second to the next.
#[test]
fn a_jump_is_read_with_the_next_scrapes() {
    for signal in SUMS {
        let mut prometheus = three();
        for pod in &mut prometheus.pods {
            pod.arrived = |second| 33.0 * second as f64 + 99.0 * (second - 62).max(0) as f64;
        }
        let reads = reads("jump", &prometheus, signal, 60..90);
        assert_within(&during(&reads, 69..), 250.0, 397.0);
        assert_within(&during(&reads, 73..), 380.0, 397.0);
    }
}
