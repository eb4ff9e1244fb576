//! The operator itself: its metrics, and a restart without changes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::diagnosis::operator_namespace;
use springtide_e2e::json::text;
use springtide_e2e::readings::READINGS_LIMIT;
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace, is_ready};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Port of the operator's probes and metrics.
const PORT: u16 = 8080;

/// Label of the operator's pods in the chart.
const LABEL: &str = "app.kubernetes.io/name=springtide-operator";

/// Series of the successful reconciles.
const RECONCILES: &str = "springtide_operator_reconciles_total{outcome=\"success\"}";

/// Maximum time until another pod is the leader: its start, and the expiry of the lease.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(90);

/// Maximum time until nothing changes.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// Time without a change after which the state counts as settled.
const SETTLED_FOR: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_restart_of_the_operator_changes_nothing() -> Result<(), Failure> {
    in_namespace("operator", Company::Alone, async |testbed| {
        for example in ["iris", "digits"] {
            testbed
                .serve_until_ready(&example::manifest(example, &json!({}))?)
                .await?;
        }
        // The first readings of the metrics change the status again.
        for name in ["iris", "digits"] {
            testbed
                .until_condition(name, "MetricsHealthy", "True", READINGS_LIMIT)
                .await?;
        }
        let pods = testbed
            .cluster
            .list(Some(&operator_namespace()), kind::POD, LABEL)
            .await?;
        ensure!(
            !pods.is_empty(),
            "no pods with {LABEL} in {}",
            operator_namespace()
        );
        for probe in ["/healthz", "/readyz"] {
            let answer = ask(testbed, &pods[0], probe).await?;
            ensure!(answer.is_some(), "{probe} of the operator isn't 200");
        }
        let before = settled(testbed).await?;

        for pod in &pods {
            testbed
                .cluster
                .delete(
                    Some(&operator_namespace()),
                    kind::POD,
                    text(pod, "/metadata/name"),
                )
                .await?;
        }
        let old: Vec<_> = pods.iter().map(|pod| text(pod, "/metadata/name")).collect();
        let waited = until(
            "a new operator pod to lead and reconcile",
            TAKE_OVER_LIMIT,
            async || {
                let mut seen = Vec::new();
                for pod in testbed
                    .cluster
                    .list(Some(&operator_namespace()), kind::POD, LABEL)
                    .await?
                {
                    let new = !old.contains(&text(&pod, "/metadata/name")) && is_ready(&pod);
                    let metrics = if new {
                        ask(testbed, &pod, "/metrics").await?.unwrap_or_default()
                    } else {
                        String::new()
                    };
                    let leads = value(&metrics, "springtide_operator_leader") == Some(1.0);
                    let reconciles = value(&metrics, RECONCILES).unwrap_or_default();
                    if leads && reconciles >= 2.0 {
                        return Ok(Look::Seen(metrics));
                    }
                    seen.push(format!(
                        "{}: new and ready {new}, leads {leads}, {reconciles} reconciles",
                        text(&pod, "/metadata/name")
                    ));
                }
                Ok(Look::NotYet(seen.join("; ")))
            },
        )
        .await?;
        testbed.report(&format!(
            "a new operator pod leads and has reconciled after {}",
            waited.seconds()
        ));
        let errors = value(
            &waited.value,
            "springtide_operator_reconciles_total{outcome=\"error\"}",
        );
        ensure!(
            errors == Some(0.0),
            "reconciles of the new operator failed:\n{}",
            waited.value
        );

        let after = settled(testbed).await?;
        springtide_e2e::json::same("the objects of the operator", &after, &before)
    })
    .await
}

/// Successful reconciles of the leader.
pub(crate) async fn reconciles(testbed: &Testbed) -> Result<f64> {
    let namespace = operator_namespace();
    for pod in testbed
        .cluster
        .list(Some(&namespace), kind::POD, LABEL)
        .await?
    {
        let metrics = ask(testbed, &pod, "/metrics").await?.unwrap_or_default();
        if value(&metrics, "springtide_operator_leader") == Some(1.0) {
            return value(&metrics, RECONCILES).context("no metric of reconciles");
        }
    }
    anyhow::bail!("no operator leads")
}

async fn ask(testbed: &Testbed, pod: &Value, path: &str) -> Result<Option<String>> {
    let answer = testbed
        .cluster
        .ask_pod(
            &operator_namespace(),
            text(pod, "/metadata/name"),
            PORT,
            path,
        )
        .await?;
    Ok((answer.status == 200).then_some(answer.body))
}

/// The value of a series in a page of metrics in Prometheus' text format.
fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// Fields that any write of the operator would change, while no other client writes.
async fn settled(testbed: &Testbed) -> Result<Value> {
    let mut before = marks(testbed).await?;
    let waited = until(
        "ModelServices and children to settle",
        SETTLE_LIMIT,
        async || {
            tokio::time::sleep(SETTLED_FOR).await;
            let now = marks(testbed).await?;
            let same = now == before;
            let words = format!("{before} became {now}");
            before = now;
            Ok(if same {
                Look::Seen(before.clone())
            } else {
                Look::NotYet(words)
            })
        },
    )
    .await?;
    Ok(waited.value)
}

async fn marks(testbed: &Testbed) -> Result<Value> {
    let mut marks = serde_json::Map::new();
    for (name, autoscaler) in [("iris", kind::AUTOSCALER), ("digits", kind::SCALED_OBJECT)] {
        for kind in [
            kind::MODEL_SERVICE,
            kind::DEPLOYMENT,
            kind::SERVICE,
            kind::DISRUPTION_BUDGET,
            autoscaler,
        ] {
            let object = testbed.get(kind, name).await.with_context(|| kind.name)?;
            // The status of an autoscaler changes with each reading. Only writes of its spec count.
            let version = if kind == autoscaler {
                &object["metadata"]["generation"]
            } else {
                &object["metadata"]["resourceVersion"]
            };
            marks.insert(
                format!("{} {name}", kind.name),
                json!([object["metadata"]["uid"], version]),
            );
        }
    }
    Ok(Value::Object(marks))
}
