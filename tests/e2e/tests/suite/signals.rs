//! Every signal, with both engines: the HPA follows it correctly, and its readings are those of the pods of one
//! ModelService.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_contract::metrics::pods;
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::json::{items, same, text};
use springtide_e2e::load::{Load, Plan, node_port};
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace, in_two_namespaces};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{kind, readings};

/// Maximum time until an adapter lists a metric, and the operator has noticed it: a scrape, and the discovery intervals
/// of both.
const LISTED_LIMIT: Duration = Duration::from_secs(60);

/// Maximum time until rates are those of the load alone: the window of a rate, and some scrapes.
const RATES_LIMIT: Duration = Duration::from_secs(60);

/// Tolerance of a rate over 20 s, relative to that of the clients.
const RATE_TOLERANCE: f64 = 0.25;

/// The serving signals, with their names in the spec and as Pods metrics.
const SERVING: [(&str, &str); 5] = [
    ("requestsPerSecond", pods::REQUESTS_PER_SECOND),
    ("queueSize", pods::QUEUE_SIZE),
    ("p95LatencyMilliseconds", pods::P95_LATENCY_MILLISECONDS),
    ("concurrency", pods::CONCURRENCY),
    ("loadPercent", pods::LOAD_PERCENT),
];

/// A target for each signal, which the load here doesn't reach.
fn targets() -> Value {
    json!({
        "cpuUtilizationPercent": 900,
        "memoryUtilizationPercent": 901,
        "requestsPerSecond": 902,
        "queueSize": 903,
        "p95LatencyMilliseconds": 9040,
        "concurrency": 905,
        "loadPercent": 906,
    })
}

fn every_signal(engine: &str, min_replicas: u32) -> Result<Value> {
    let autoscaling = json!({"engine": engine, "minReplicas": min_replicas, "targets": targets()});
    example::manifest("iris", &json!({"spec": {"autoscaling": autoscaling}}))
}

fn resource_metric(resource: &str, percent: i64) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!({"type": "ContainerResource", "containerResource": {"name": resource, "container": "server", "target": target}})
}

#[tokio::test]
async fn the_hpa_follows_every_signal() -> Result<(), Failure> {
    in_namespace("signals-hpa", Company::Welcome, async |testbed| {
        let name = testbed.serve_until_ready(&every_signal("HPA", 1)?).await?;
        let pods_metric = |(signal, metric): (&str, &str)| {
            let target =
                json!({"type": "AverageValue", "averageValue": targets()[signal].to_string()});
            json!({"type": "Pods", "pods": {"metric": {"name": metric}, "target": target}})
        };
        let mut expected = vec![resource_metric("cpu", 900), resource_metric("memory", 901)];
        expected.extend(SERVING.map(pods_metric));
        let waited = until("the HPA to follow every signal", LISTED_LIMIT, async || {
            let hpa = testbed.get(kind::AUTOSCALER, &name).await?;
            let metrics = &hpa["spec"]["metrics"];
            let so = same("metrics", metrics, &json!(expected));
            Ok(Look::at(so.is_ok(), || format!("{so:?}")))
        })
        .await?;
        testbed.report(&format!(
            "the HPA follows every signal after {}",
            waited.seconds()
        ));
        readings::until_all(testbed, &name, expected.len()).await?;
        testbed
            .until_condition(&name, "AutoscalingReady", "True", LISTED_LIMIT)
            .await?;
        testbed
            .until_condition(&name, "MetricsHealthy", "True", LISTED_LIMIT)
            .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn keda_follows_every_signal_and_namesakes_never_mix() -> Result<(), Failure> {
    in_two_namespaces("signals-keda", Company::OneLoad, async |busy, calm| {
        let held_out = HeldOut::of("iris")?;
        let loads = [(busy, 2, 40), (calm, 1, 8)];
        let mut name = String::new();
        for (testbed, min_replicas, _) in loads {
            name = testbed.serve(&every_signal("KEDA", min_replicas)?).await?;
        }
        let mut running = Vec::new();
        for (testbed, _, requests_per_second) in loads {
            testbed.until_ready(&name).await?;
            let plan = Plan {
                features: json!(held_out.rows[0]),
                prediction: json!(held_out.predictions[0]),
                clients: 4,
                requests_per_second,
                at_most: Duration::from_secs(240),
            };
            running.push(Load::start(node_port(testbed, &name).await?, &plan)?);
        }
        for (testbed, _, requests_per_second) in loads {
            follows_every_signal(testbed, &name).await?;
            reads_its_own_pods(testbed, &name).await?;
            rates_are(testbed, &name, f64::from(requests_per_second)).await?;
        }
        for load in running {
            load.stop().await?.check(100)?;
        }
        Ok(())
    })
    .await
}

/// Compares the HPA of KEDA.
async fn follows_every_signal(testbed: &Testbed, name: &str) -> Result<()> {
    let hpa = format!("keda-hpa-{name}");
    readings::until_all(testbed, &hpa, 2 + SERVING.len()).await?;
    let stored = testbed.get(kind::AUTOSCALER, &hpa).await?;
    let mut seen = BTreeSet::new();
    for metric in items(&stored, "/spec/metrics") {
        if let Some(resource) = metric.get("containerResource") {
            seen.insert(json!([resource["name"], resource["target"]]).to_string());
            continue;
        }
        let external = metric.get("external").context("neither of the two kinds")?;
        let index = text(external, "/metric/name")
            .strip_prefix('s')
            .and_then(|rest| rest.split_once('-'))
            .with_context(|| external.to_string())?
            .0;
        let trigger = format!("/spec/triggers/{index}/name");
        let scaled_object = testbed.get(kind::SCALED_OBJECT, name).await?;
        seen.insert(json!([text(&scaled_object, &trigger), external["target"]]).to_string());
    }
    let utilization = |percent: i64| json!({"type": "Utilization", "averageUtilization": percent});
    let mut expected = BTreeSet::from([
        json!(["cpu", utilization(900)]).to_string(),
        json!(["memory", utilization(901)]).to_string(),
    ]);
    for (signal, _) in SERVING {
        let target = targets()[signal].to_string();
        // A sum over all pods is compared with a target per pod. A quantile is no sum.
        let target = if signal == "p95LatencyMilliseconds" {
            json!({"type": "Value", "value": target})
        } else {
            json!({"type": "AverageValue", "averageValue": target})
        };
        expected.insert(json!([signal, target]).to_string());
    }
    same("the metrics of KEDA's HPA", &json!(seen), &json!(expected))
}

/// Queries Prometheus for the pods that each trigger's query selects.
async fn reads_its_own_pods(testbed: &Testbed, name: &str) -> Result<()> {
    let pods = testbed.pods(name).await?;
    let pods: BTreeSet<_> = pods
        .iter()
        .map(|pod| {
            (
                testbed.namespace.clone(),
                text(pod, "/metadata/name").to_owned(),
            )
        })
        .collect();
    let scaled_object = testbed.get(kind::SCALED_OBJECT, name).await?;
    let mut queries = 0;
    for trigger in items(&scaled_object, "/spec/triggers") {
        let query = text(trigger, "/metadata/query");
        for selector in selectors(query) {
            queries += 1;
            let found = readings::query(&testbed.cluster, &selector).await?;
            let found: BTreeSet<_> = found
                .iter()
                .map(|(labels, _)| {
                    let label = |label: &str| text(labels, label).to_owned();
                    (label("/namespace"), label("/pod"))
                })
                .collect();
            ensure!(
                found == pods,
                "{selector} selects {found:?}, and the pods are {pods:?}"
            );
        }
    }
    ensure!(
        queries >= SERVING.len(),
        "only {queries} selectors in {scaled_object}"
    );
    Ok(())
}

/// The instant series selectors in a query: each name of a series with its braces.
fn selectors(query: &str) -> Vec<String> {
    query
        .match_indices("ml_")
        .filter_map(|(start, _)| {
            let rest = &query[start..];
            Some(rest[..=end_of_selector(rest)?].to_owned())
        })
        .collect()
}

/// Index of the closing brace, without those in quotes: a regular expression in a matcher may have braces.
fn end_of_selector(text: &str) -> Option<usize> {
    let mut is_quoted = false;
    text.char_indices().find_map(|(at, character)| {
        is_quoted ^= character == '"';
        (character == '}' && !is_quoted).then_some(at)
    })
}

/// The arrivals in Prometheus, in KEDA and in the adapter are the requests of the clients.
async fn rates_are(testbed: &Testbed, name: &str, requests_per_second: f64) -> Result<()> {
    let scaled_object = testbed.get(kind::SCALED_OBJECT, name).await?;
    let query = text(&scaled_object, "/spec/triggers/0/metadata/query");
    let metric = text(&scaled_object, "/status/externalMetricNames/0");
    let waited = until(
        "each rate to be that of the load",
        RATES_LIMIT,
        async || {
            let prometheus = readings::query(&testbed.cluster, query).await?;
            let keda = readings::external(testbed, name, metric).await?;
            let adapter = readings::of_pods(testbed, name, pods::REQUESTS_PER_SECOND).await?;
            let rates = [
                prometheus.iter().map(|(_, value)| value).sum::<f64>(),
                keda.unwrap_or_default(),
                adapter.values().sum::<f64>(),
            ];
            let so = rates
                .iter()
                .all(|rate| (rate / requests_per_second - 1.0).abs() <= RATE_TOLERANCE);
            Ok(Look::at(so, || {
                format!("{rates:?} instead of {requests_per_second}")
            }))
        },
    )
    .await?;
    for (_, metric) in SERVING {
        let values = readings::of_pods(testbed, name, metric).await?;
        let pods = testbed.pods(name).await?.len();
        ensure!(
            values.len() == pods && values.values().all(|value| *value >= 0.0),
            "{metric} of {pods} pods: {values:?}"
        );
    }
    testbed.report(&format!(
        "the rate is {requests_per_second}/s after {}",
        waited.seconds()
    ));
    Ok(())
}
