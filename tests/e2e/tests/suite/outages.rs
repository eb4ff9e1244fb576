//! What measures the load is away: no pod goes because of it, the ModelService says so within a
//! minute, and all is well again by itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::addon::{Addon, KEDA_METRICS_API_SERVER, METRICS_SERVER, PROMETHEUS};
use springtide_e2e::bed::{Bed, Company, Failure, condition, in_namespace, is_ready};
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::history::Recording;
use springtide_e2e::json::text;
use springtide_e2e::kind::{DEPLOYMENT, MODEL_SERVICE};
use springtide_e2e::load::{Load, Plan, node_port};
use springtide_e2e::wait::{Look, until};

/// Pods that the load needs.
const PODS: i64 = 3;

/// Longest time until the load has its pods.
const SCALE_LIMIT: Duration = Duration::from_secs(90);

/// Longest time until `MetricsHealthy` says that readings are missing: a minute is promised.
const TOLD_LIMIT: Duration = Duration::from_secs(60);

/// Longest time until readings are there again, after the source is.
const BACK_LIMIT: Duration = Duration::from_secs(90);

/// How long an outage goes on after it was told: the HPA looks twice, with a reading of zero it would
/// take all pods but one.
const OUTAGE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn no_pod_goes_while_prometheus_is_away() -> Result<(), Failure> {
    in_namespace("no-prometheus", Company::Alone, async |bed| {
        let services = [
            ("iris", "HPA", json!({"requestsPerSecond": 20})),
            (
                "digits",
                "KEDA",
                json!({"requestsPerSecond": 20, "queueSize": null, "p95LatencyMilliseconds": null}),
            ),
        ];
        let loads = under_load(bed, &services).await?;
        outage(bed, PROMETHEUS, &["iris", "digits"]).await?;
        for load in loads {
            load.stop().await?.check(1000)?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn no_pod_goes_while_a_metrics_api_is_away() -> Result<(), Failure> {
    in_namespace("no-metrics-api", Company::Alone, async |bed| {
        let services = [
            ("iris", "HPA", json!({"cpuUtilizationPercent": 20})),
            (
                "digits",
                "KEDA",
                json!({"requestsPerSecond": 20, "queueSize": null, "p95LatencyMilliseconds": null}),
            ),
        ];
        let loads = under_load(bed, &services).await?;
        outage(bed, METRICS_SERVER, &["iris"]).await?;
        outage(bed, KEDA_METRICS_API_SERVER, &["digits"]).await?;
        for load in loads {
            load.stop().await?.check(1000)?;
        }
        Ok(())
    })
    .await
}

/// Applies ModelServices that would give up every pod at once when they read no load, and loads them
/// until each has its pods.
async fn under_load(bed: &Bed, services: &[(&str, &str, Value)]) -> Result<Vec<Load>> {
    let eager = json!({
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    });
    for (example, engine, targets) in services {
        let autoscaling = json!({
            "engine": engine,
            "minReplicas": 1,
            "maxReplicas": PODS,
            "targets": targets,
            "behavior": {"scaleDown": eager},
        });
        let spec = json!({
            "autoscaling": autoscaling,
            "server": {"resources": {"requests": {"cpu": "20m"}}},
        });
        bed.serve(&example::manifest(example, &json!({"spec": spec}))?)
            .await?;
    }
    let mut loads = Vec::new();
    for (name, _, _) in services {
        bed.until_ready(name).await?;
        let held_out = HeldOut::of(name)?;
        let plan = Plan {
            features: json!(held_out.rows[0]),
            prediction: json!(held_out.predictions[0]),
            clients: 8,
            requests_per_second: 100,
            at_most: Duration::from_secs(290),
        };
        loads.push(Load::start(node_port(bed, name).await?, &plan)?);
    }
    for (name, _, _) in services {
        let waited = until(
            &format!("{name} to have its pods"),
            SCALE_LIMIT,
            async || {
                let pods = bed.pods(name).await?;
                let ready = pods.iter().filter(|pod| is_ready(pod)).count();
                Ok(Look::at(ready == 3, || format!("{ready} ready")))
            },
        )
        .await?;
        bed.report(&format!(
            "{name} has {PODS} pods after {}",
            waited.seconds()
        ));
        bed.until_condition(name, "MetricsHealthy", "True", BACK_LIMIT)
            .await?;
    }
    Ok(loads)
}

/// Takes an addon away and brings it back whatever happens meanwhile.
async fn outage(bed: &Bed, addon: Addon, blind: &[&str]) -> Result<()> {
    let recording = Recording::of(bed, &[DEPLOYMENT]).await?;
    addon.stop(&bed.cluster).await?;
    let meanwhile = is_told(bed, addon, blind).await;
    addon.start(&bed.cluster).await?;
    meanwhile?;
    for name in blind {
        let waited = bed
            .until_condition(name, "MetricsHealthy", "True", BACK_LIMIT)
            .await
            .with_context(|| format!("after {} came back", addon.name))?;
        bed.report(&format!(
            "{name} reads again {} after {} came back",
            waited.seconds(),
            addon.name
        ));
    }
    // And the first readings of it are no reason either.
    tokio::time::sleep(OUTAGE).await;
    let history = recording.end(bed).await?;
    for name in blind {
        let counts = history.numbers(DEPLOYMENT, name, "/spec/replicas");
        ensure!(
            counts == [PODS],
            "{name} had {counts:?} pods around the outage of {}",
            addon.name
        );
    }
    Ok(())
}

async fn is_told(bed: &Bed, addon: Addon, blind: &[&str]) -> Result<()> {
    let since = tokio::time::Instant::now();
    for name in blind {
        let left = TOLD_LIMIT.saturating_sub(since.elapsed());
        bed.until_condition(name, "MetricsHealthy", "False", left)
            .await
            .with_context(|| format!("while {} is away", addon.name))?;
        let service = bed.get(MODEL_SERVICE, name).await?;
        let told = condition(&service, "MetricsHealthy").context("no MetricsHealthy")?;
        bed.report(&format!(
            "{name} says {:.1} s after {} went: {}: {}",
            since.elapsed().as_secs_f64(),
            addon.name,
            text(told, "/reason"),
            text(told, "/message")
        ));
    }
    tokio::time::sleep(OUTAGE).await;
    Ok(())
}
