//! KEDA's queries to Prometheus.

mod edges;
mod foreign;
mod pod_names;
mod scraped;

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use springtide_api::targets::Signal;
use springtide_plan::{Child, OperatorSettings, ValidatedModelService, desired};

use crate::support::{crate_path, model_service, settings, with_keda};

/// The queries for `namespace/name` by signal, with a scrape interval in seconds and the same target for each signal.
fn queries_of(
    namespace: &str,
    name: &str,
    scrape_interval_seconds: u16,
    target: i32,
) -> BTreeMap<String, String> {
    let settings = OperatorSettings {
        scrape_interval_seconds,
        ..settings()
    };
    let targets = Signal::of_server()
        .map(|signal| (signal.as_str().to_owned(), json!(target)))
        .collect::<Value>();
    let mut model_service =
        model_service(json!({"autoscaling": {"engine": "KEDA", "targets": targets}}));
    model_service.metadata.namespace = Some(namespace.to_owned());
    model_service.metadata.name = Some(name.to_owned());
    let model_service = ValidatedModelService::try_from(&model_service).unwrap();
    let scaled_object = desired(&model_service, &with_keda(), &settings)
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
        .map(|mut trigger| {
            let query = trigger.metadata.remove("query").unwrap();
            (trigger.name.unwrap(), query)
        })
        .collect()
}

fn queries(scrape_interval_seconds: u16, target: i32) -> BTreeMap<String, String> {
    queries_of("default", "iris", scrape_interval_seconds, target)
}

/// A rate needs two readings, and one scrape may fail. Unread pods are counted for longer.
#[test]
fn every_query_has_a_window_of_four_scrapes() {
    for (interval, window) in [(5, "[20s]"), (15, "[60s]"), (60, "[240s]")] {
        for query in queries(interval, 1).values() {
            let windows = query.matches("s]").count();
            let remembered = query.matches("[600s]").count();
            assert!(windows > remembered && remembered <= 1, "{query}");
            assert_eq!(
                query.matches(window).count() + remembered,
                windows,
                "{query}"
            );
        }
    }
}

/// For two ModelServices with one name in two namespaces, and for two in one namespace.
#[test]
fn every_series_is_of_one_model_service() {
    for (namespace, name) in [("a", "iris"), ("b", "iris"), ("a", "digits")] {
        let selector = format!(
            r#"{{namespace="{namespace}",pod=~"{name}-[a-z0-9]{{1,10}}-[a-z0-9]{{5}}",modelservice="{name}",modelservice_namespace="{namespace}"}}"#
        );
        for query in queries_of(namespace, name, 15, 1).values() {
            assert_eq!(
                query.matches("modelservice").count(),
                2 * query.matches(&selector).count(),
                "{query}"
            );
        }
    }
}

/// The queries of prometheus-adapter by metric, as queries over all pods of a ModelService: with filled templates and
/// without line breaks.
fn adapter_queries() -> BTreeMap<String, String> {
    let path = crate_path("../../examples/prometheus-adapter.values.yaml");
    let values: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let rules = values["rules"]["custom"].as_array().unwrap();
    rules
        .iter()
        .map(|rule| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let series = text(&rule["seriesQuery"]);
            let query = text(&rule["metricsQuery"])
                .replace("<<.Series>>", series.split('{').next().unwrap())
                .replace(
                    "<<.LabelMatchers>>",
                    r#"namespace="default",pod=~"iris-[a-z0-9]{1,10}-[a-z0-9]{5}",modelservice="iris",modelservice_namespace="default""#,
                )
                .replace("by (<<.GroupBy>>, le)", "by (le)")
                .replace("by (<<.GroupBy>>)", "");
            (text(&rule["name"]["as"]), without_spaces(&query))
        })
        .collect()
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

/// With the missing closing parentheses.
fn closed(query: &str) -> String {
    let open = query.matches('(').count() - query.matches(')').count();
    query.to_owned() + &")".repeat(open)
}

/// Users install the rules, and the operator writes the queries. An HPA and KEDA must read the same.
#[test]
fn the_adapters_rules_read_the_same_as_the_queries() {
    let rules = adapter_queries();
    let queries = queries(15, 1);
    assert_eq!(rules.len(), queries.len());
    for signal in Signal::of_server() {
        let query = &queries[signal.as_str()];
        // An HPA counts unread pods itself, and requests no reading of a deleted pod.
        let query = query
            .split(" + (1 * count(")
            .flat_map(|part| part.split(" unless on () ("))
            .next()
            .unwrap();
        let query = query
            .split(" and count_over_time(ml_")
            .next()
            .unwrap()
            .split(" and ml_")
            .enumerate()
            .map(|(part, text)| match part {
                0 => text,
                _ => text.split_once("\"}").unwrap().1,
            })
            .collect::<String>();
        assert_eq!(
            rules[signal.pods_metric().unwrap()],
            closed(&without_spaces(&query)),
            "{}",
            signal.pods_metric().unwrap()
        );
    }
}
