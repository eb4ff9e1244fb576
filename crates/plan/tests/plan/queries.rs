//! What KEDA asks Prometheus.

use springtide_plan::{Child, OperatorSettings, desired};

use crate::support::{settings, with_engine, with_keda};

/// The queries where Prometheus scrapes at an interval in seconds.
fn queries(scrape_interval_seconds: u16) -> Vec<String> {
    let settings = OperatorSettings {
        scrape_interval_seconds,
        ..settings()
    };
    let scaled_object = desired(&with_engine("KEDA"), &with_keda(), &settings)
        .apply
        .into_iter()
        .find_map(|child| match child {
            Child::ScaledObject(scaled_object) => Some(scaled_object),
            _ => None,
        })
        .unwrap();
    scaled_object
        .spec
        .triggers
        .into_iter()
        .filter_map(|mut trigger| trigger.metadata.remove("query"))
        .collect()
}

/// A rate needs two readings, and one scrape may fail.
#[test]
fn rates_look_back_over_four_scrapes() {
    for (interval, window) in [(5, "[20s]"), (15, "[60s]"), (60, "[240s]")] {
        let windows: usize = queries(interval)
            .iter()
            .map(|query| {
                assert_eq!(query.matches('[').count(), query.matches(window).count());
                query.matches(window).count()
            })
            .sum();
        // The request rate, the latency, and the latency's zero.
        assert_eq!(windows, 3);
    }
}

#[test]
fn no_latency_is_zero_only_where_requests_are_counted() {
    let queries = queries(15);
    let latency = queries
        .iter()
        .find(|query| query.contains("histogram_quantile"))
        .unwrap();
    let (_, zero) = latency.split_once(" or ").unwrap();
    assert_eq!(
        zero,
        r#"(0 * sum(rate(ml_requests_received_total{modelservice="iris",modelservice_namespace="default"}[60s])))"#
    );
}

/// The server's series are one for each model, and KEDA takes the first number that it gets.
#[test]
fn every_series_is_summed_up_and_none_is_of_one_model() {
    for query in queries(15) {
        let series = query.matches('{').count();
        let sums = ["sum(ml_", "sum(rate(ml_", "sum by (le) (rate(ml_"]
            .map(|sum| query.matches(sum).count())
            .iter()
            .sum::<usize>();
        assert!(series > 0 && series == sums, "{query}");
        assert!(
            !query.contains("model=") && !query.contains("(model"),
            "{query}"
        );
    }
}
