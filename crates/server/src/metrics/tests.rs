use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

fn metrics() -> Metrics {
    Metrics::new(None, None).unwrap()
}

fn text(metrics: &Metrics) -> String {
    metrics.text(&Snapshot::default()).unwrap()
}

#[track_caller]
fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} in {text}");
    }
}

fn facts(version: &str, state: &'static str, serving: Option<ServingFacts>) -> VersionFacts {
    VersionFacts {
        model: "iris".to_owned(),
        version: version.to_owned(),
        state,
        serving,
    }
}

fn snapshot() -> Snapshot {
    let serving = ServingFacts {
        shares_batches: true,
        batching_reason: "Proven",
        load_seconds: 0.25,
        provider: "cpu",
        fallback: true,
    };
    Snapshot {
        waiting_rows: BTreeMap::from([("iris".to_owned(), 7)]),
        versions: vec![
            facts("1", "ready", Some(serving)),
            facts("2", "unavailable", None),
        ],
    }
}

#[test]
fn every_series_carries_the_labels_of_its_model_service() {
    let metrics = Metrics::new(Some("iris"), Some("team-a")).unwrap();
    let _series = metrics.of_model("iris");
    let text = metrics.text(&snapshot()).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        for label in [
            r#"modelservice="iris""#,
            r#"modelservice_namespace="team-a""#,
        ] {
            assert!(line.contains(label), "{line}");
        }
    }
}

#[test]
fn outside_a_model_service_there_are_no_such_labels() {
    let text = text(&metrics());
    assert!(!text.contains("modelservice"), "{text}");
}

#[test]
fn every_outcome_and_reason_is_there_from_the_start() {
    let metrics = metrics();
    let _series = metrics.of_model("iris");
    let text = text(&metrics);
    for model in ["", "iris"] {
        for status in Status::LABELS {
            let line = format!("ml_requests_total{{model=\"{model}\",status=\"{status}\"}} 0");
            assert_lines(&text, &[&line]);
        }
        for reason in Dropped::LABELS {
            let line =
                format!("ml_requests_dropped_total{{model=\"{model}\",reason=\"{reason}\"}} 0");
            assert_lines(&text, &[&line]);
        }
        for name in [
            "ml_batch_size_count",
            "ml_queue_seconds_count",
            "ml_compute_seconds_count",
            "ml_request_latency_seconds_count",
            "ml_active_requests",
            "ml_requests_received_total",
            "ml_offered_load_seconds_total",
            "ml_capacity_rows_per_second",
        ] {
            assert_lines(&text, &[&format!("{name}{{model=\"{model}\"}} 0")]);
        }
    }
    assert_lines(&text, &["ml_queue_size{model=\"\"} 0"]);
}

#[test]
fn each_label_stands_at_its_index() {
    use Rejected::{Draining, Loading, NoRoomForBody, Overloaded, QueueFull};
    for (status, label) in [
        (Status::Success, "success"),
        (Status::Invalid, "invalid"),
        (Status::Rejected(QueueFull), "rejected"),
        (Status::Timeout, "timeout"),
        (Status::Cancelled, "cancelled"),
        (Status::Error, "error"),
    ] {
        assert_eq!(Status::LABELS[status.index()], label);
    }
    for (reason, label) in [
        (Dropped::Rejected(QueueFull), "queue_full"),
        (Dropped::Rejected(Overloaded), "overloaded"),
        (Dropped::Rejected(NoRoomForBody), "no_room_for_body"),
        (Dropped::Rejected(Loading), "loading"),
        (Dropped::Rejected(Draining), "draining"),
        (Dropped::Timeout, "timeout"),
        (Dropped::Cancelled, "cancelled"),
    ] {
        assert_eq!(Dropped::LABELS[reason.index()], label);
    }
}

#[test]
fn a_call_is_active_from_its_acceptance_to_its_end() {
    let metrics = metrics();
    let mut call = Call::arrival(metrics.of_model("iris"));
    assert_lines(&text(&metrics), &["ml_active_requests{model=\"iris\"} 0"]);
    call.accept();
    assert_lines(&text(&metrics), &["ml_active_requests{model=\"iris\"} 1"]);
    call.end(Status::Success);
    let expected = [
        "ml_active_requests{model=\"iris\"} 0",
        "ml_request_latency_seconds_count{model=\"iris\"} 1",
        "ml_requests_received_total{model=\"iris\"} 1",
        "ml_requests_total{model=\"iris\",status=\"success\"} 1",
    ];
    assert_lines(&text(&metrics), &expected);
}

#[test]
fn a_call_without_an_end_was_cancelled() {
    let metrics = metrics();
    let mut call = Call::arrival(metrics.of_model("iris"));
    call.accept();
    drop(call);
    let expected = [
        "ml_requests_total{model=\"iris\",status=\"cancelled\"} 1",
        "ml_active_requests{model=\"iris\"} 0",
        "ml_request_latency_seconds_count{model=\"iris\"} 0",
    ];
    assert_lines(&text(&metrics), &expected);
}

#[test]
fn a_refusal_counts_with_its_reason_and_not_as_a_fast_answer() {
    let metrics = metrics();
    let mut call = Call::arrival(metrics.of_model("iris"));
    call.accept();
    call.end(Status::Rejected(Rejected::Overloaded));
    let expected = [
        "ml_request_latency_seconds_count{model=\"iris\"} 0",
        "ml_requests_total{model=\"iris\",status=\"rejected\"} 1",
        "ml_requests_dropped_total{model=\"iris\",reason=\"overloaded\"} 1",
    ];
    assert_lines(&text(&metrics), &expected);
}

#[test]
fn versions_share_their_models_series() {
    let metrics = metrics();
    let (old, new) = (metrics.of_model("iris"), metrics.of_model("iris"));
    old.ran(3, Duration::from_millis(1));
    new.ran(4, Duration::from_millis(1));
    assert_lines(&text(&metrics), &["ml_batch_size_sum{model=\"iris\"} 7"]);
}

#[test]
fn nothing_is_left_of_a_model_that_is_forgotten() {
    let metrics = metrics();
    let before = text(&metrics);
    let series = metrics.of_model("iris");
    series.waited(Duration::from_millis(1));
    metrics.forget("iris");
    series.ran(1, Duration::from_millis(1));
    assert_eq!(text(&metrics), before);
}

#[test]
fn what_is_true_now_comes_from_the_snapshot() {
    let text = metrics().text(&snapshot()).unwrap();
    let expected = [
        "ml_queue_size{model=\"iris\"} 7",
        "ml_model_info{model=\"iris\",state=\"ready\",version=\"1\"} 1",
        "ml_model_info{model=\"iris\",state=\"unavailable\",version=\"2\"} 1",
        "ml_model_load_seconds{model=\"iris\",version=\"1\"} 0.25",
        "ml_execution_provider_info{fallback=\"true\",model=\"iris\",provider=\"cpu\",version=\"1\"} 1",
    ];
    assert_lines(&text, &expected);
}

#[test]
fn half_a_second_is_a_boundary_with_close_neighbours() {
    let buckets = families::LATENCY_BUCKETS;
    let at = buckets
        .iter()
        .position(|boundary| *boundary == 0.5)
        .unwrap();
    assert!(buckets[at - 1] >= 0.45 && buckets[at + 1] <= 0.55);
    assert!(
        buckets.contains(&1.0),
        "the alert's threshold is a boundary"
    );
    assert!(buckets.is_sorted());
}
