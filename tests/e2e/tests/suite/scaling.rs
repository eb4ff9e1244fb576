//! Under load, pods are added and serve.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_contract::metrics::{REQUESTS_TOTAL, label};
use springtide_contract::paths;
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::json::{number, same, text};
use springtide_e2e::kind;
use springtide_e2e::load::{Load, Plan, node_port};
use springtide_e2e::testbed::{Company, Failure, Testbed, WHY_LIMIT, in_namespace, is_ready};
use springtide_e2e::wait::{Look, Waited, until};

/// Maximum time until another pod serves: a scrape and a sync of the autoscaler, 15 s each, a rate over a minute, and
/// the start of the pod.
const SCALE_LIMIT: Duration = Duration::from_secs(150);

/// Maximum time until a ready pod has served requests.
const SHARE_LIMIT: Duration = Duration::from_secs(20);

/// Rows in each request of a load on the CPU.
const ROWS: usize = 30;

/// Target of the offered load: a small part of the capacity of a pod with these small models, even in batches of one
/// row.
const LOAD_PERCENT: u32 = 1;

/// A ModelService whose load exceeds its pods.
struct Case {
    /// Fields of `spec`, merged into the example.
    spec: Value,
    /// Names of the example and the model.
    example: &'static str,
    /// Pods before the load.
    pods: usize,
    /// The signal that requires more pods.
    signal: &'static str,
    /// Rows in each request.
    rows: usize,
    requests_per_second: u32,
}

#[tokio::test]
async fn both_engines_scale_up_and_say_why() -> Result<(), Failure> {
    in_namespace("scaling", Company::OneLoad, async |testbed| {
        scale_up(
            testbed,
            &[
                // 70 % of 20m: a load that leaves processor time to the other tests.
                Case {
                    spec: json!({
                        "server": {"resources": {"requests": {"cpu": "20m"}}},
                        "autoscaling": {"maxReplicas": 4, "targets": {"cpuUtilizationPercent": 70}},
                    }),
                    example: "iris",
                    pods: 2,
                    signal: "cpuUtilizationPercent",
                    rows: ROWS,
                    requests_per_second: 200,
                },
                // Work for four pods.
                Case {
                    spec: json!({"autoscaling": {"maxReplicas": 4, "targets": {"requestsPerSecond": 50}}}),
                    example: "digits",
                    pods: 2,
                    signal: "requestsPerSecond",
                    rows: 1,
                    requests_per_second: 200,
                },
            ],
        )
        .await
    })
    .await
}

#[tokio::test]
async fn both_engines_scale_up_by_load_percent() -> Result<(), Failure> {
    in_namespace("load-percent", Company::OneLoad, async |testbed| {
        let targets = json!({
            "loadPercent": LOAD_PERCENT,
            "requestsPerSecond": null,
            "queueSize": null,
            "p95LatencyMilliseconds": null,
        });
        let case = |example| Case {
            spec: json!({
                "server": {"batching": {"maxBatchRows": 1}},
                "autoscaling": {"minReplicas": 1, "maxReplicas": 4, "targets": targets},
            }),
            example,
            pods: 1,
            signal: "loadPercent",
            rows: 1,
            requests_per_second: 300,
        };
        scale_up(testbed, &[case("iris"), case("digits")]).await
    })
    .await
}

async fn scale_up(testbed: &Testbed, cases: &[Case]) -> Result<()> {
    let mut running = Vec::new();
    for case in cases {
        testbed
            .serve(&example::manifest(
                case.example,
                &json!({"spec": case.spec}),
            )?)
            .await?;
    }
    for case in cases {
        testbed.until_ready(case.example).await?;
        let before = testbed.pods(case.example).await?;
        ensure!(
            before.len() == case.pods,
            "{} pods before the load",
            before.len()
        );
        let held_out = HeldOut::of(case.example)?;
        let (features, prediction) = if case.rows == 1 {
            (json!(held_out.rows[0]), json!(held_out.predictions[0]))
        } else {
            (
                json!(&held_out.rows[..case.rows]),
                json!(&held_out.predictions[..case.rows]),
            )
        };
        let plan = Plan {
            features,
            prediction,
            clients: 16,
            requests_per_second: case.requests_per_second,
            at_most: SCALE_LIMIT + SHARE_LIMIT + WHY_LIMIT,
        };
        running.push(Load::start(node_port(testbed, case.example).await?, &plan)?);
    }
    let mut scaled = Ok(());
    for case in cases {
        if scaled.is_ok() {
            scaled = has_scaled_up(testbed, case).await;
        }
    }
    for load in running {
        let outcome = load.stop().await?;
        testbed.report(&format!("load: {outcome}"));
        if scaled.is_ok() {
            outcome.check(1000)?;
        }
    }
    scaled
}

async fn has_scaled_up(testbed: &Testbed, case: &Case) -> Result<()> {
    let scaled = more_pods(testbed, case).await?;
    let shared = every_pod_answers(testbed, case.example).await?;
    testbed.report(&format!(
        "{}: more ready pods after {}, all of them answering {} later",
        case.example,
        scaled.seconds(),
        shared.seconds()
    ));
    says_why(testbed, case).await
}

/// The status, an event and `kubectl get` have the number of pods and the reason for it.
async fn says_why(testbed: &Testbed, case: &Case) -> Result<()> {
    let name = case.example;
    let waited = testbed
        .until_decided(name, "a decision by the signal", |decisions| {
            let mut decisions = decisions.iter();
            decisions
                .find(|decision| decision["signal"] == case.signal)
                .cloned()
        })
        .await?;
    let decision = waited.value;
    testbed.report(&format!("{name}: {decision}"));
    let target = &case.spec["autoscaling"]["targets"][case.signal];
    ensure!(
        decision["target"] == *target,
        "the target of {decision} is not {target}"
    );
    let value: f64 = text(&decision, "/value")
        .parse()
        .with_context(|| format!("the value of {decision}"))?;
    ensure!(
        target.as_f64().is_some_and(|target| value > target)
            && number(&decision, "/to") > number(&decision, "/from"),
        "no reason for more pods: {decision}"
    );
    let message = text(&decision, "/message");
    until("an event of the decision", WHY_LIMIT, async || {
        let events = testbed
            .cluster
            .list(Some(&testbed.namespace), kind::EVENT, "")
            .await?;
        let told = events.iter().any(|event| {
            text(event, "/involvedObject/kind") == "ModelService"
                && text(event, "/involvedObject/name") == name
                && text(event, "/message") == message
        });
        Ok(Look::at(told, || format!("no event says {message:?}")))
    })
    .await?;
    let columns = testbed
        .cluster
        .columns(&testbed.namespace, kind::MODEL_SERVICE, name)
        .await?;
    let shown = json!([columns.get("Min"), columns.get("Max")]);
    same("columns Min and Max", &shown, &json!([case.pods, 4]))?;
    let pods = i64::try_from(case.pods)?;
    ensure!(
        columns.get("Replicas").and_then(Value::as_i64) > Some(pods),
        "columns {columns:?}"
    );
    Ok(())
}

async fn more_pods(testbed: &Testbed, case: &Case) -> Result<Waited<()>> {
    until("another ready pod", SCALE_LIMIT, async || {
        let pods = testbed.pods(case.example).await?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        Ok(Look::at(ready > case.pods, || {
            format!("{} pods, {ready} ready", pods.len())
        }))
    })
    .await
}

async fn every_pod_answers(testbed: &Testbed, name: &str) -> Result<Waited<()>> {
    until(
        "every ready pod to have answered requests",
        SHARE_LIMIT,
        async || {
            let mut idle = Vec::new();
            for pod in testbed.pods(name).await?.iter().filter(|pod| is_ready(pod)) {
                let pod_name = text(pod, "/metadata/name");
                if answered(&testbed.ask_pod(pod_name, paths::METRICS).await?.body) == 0.0 {
                    idle.push(pod_name.to_owned());
                }
            }
            Ok(Look::at(idle.is_empty(), || format!("idle: {idle:?}")))
        },
    )
    .await
}

/// Successful requests in a page of metrics in Prometheus' text format.
fn answered(metrics: &str) -> f64 {
    let success = format!("{}=\"success\"", label::STATUS);
    metrics
        .lines()
        .filter(|line| line.starts_with(&format!("{REQUESTS_TOTAL}{{")) && line.contains(&success))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}
