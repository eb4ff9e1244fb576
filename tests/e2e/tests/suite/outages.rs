//! Outages of metrics: no pod is removed, the ModelService reports them within a minute, and it recovers by itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::addon::{Addon, KEDA_METRICS_API_SERVER, METRICS_SERVER, PROMETHEUS};
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::history::Recording;
use springtide_e2e::json::text;
use springtide_e2e::kind::{DEPLOYMENT, MODEL_SERVICE};
use springtide_e2e::load::{Load, Plan, node_port};
use springtide_e2e::testbed::{Company, Failure, Testbed, condition, in_namespace, is_ready};
use springtide_e2e::wait::{Look, until};

/// Number of pods for the load.
const PODS: i64 = 3;

/// Maximum time until the load has these pods.
const SCALE_LIMIT: Duration = Duration::from_secs(90);

/// Maximum time until `MetricsHealthy` reports missing readings: a minute, as documented.
const TOLD_LIMIT: Duration = Duration::from_secs(60);

/// Maximum time from then on until KEDA's fallback applies: after two failed readings, 15 s each.
const FALLBACK_LIMIT: Duration = Duration::from_secs(45);

/// Maximum time until readings are available again, after their source.
const BACK_LIMIT: Duration = Duration::from_secs(90);

/// Duration of an outage after its report: at least one sync of the HPA, which would remove all pods but one for a
/// reading of zero.
const OUTAGE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn no_pod_goes_while_what_measures_is_away() -> Result<(), Failure> {
    in_namespace("outages", Company::Alone, async |testbed| {
        let served = |name, example, engine, targets| Served {
            name,
            example,
            engine,
            targets,
        };
        let services = [
            served("cpu", "iris", "HPA", json!({"cpuUtilizationPercent": 20})),
            served("rate", "iris", "HPA", json!({"requestsPerSecond": 20})),
            served("keda", "digits", "KEDA", json!({"requestsPerSecond": 20})),
        ];
        let loads = under_load(testbed, &services).await?;
        outage(
            testbed,
            &[PROMETHEUS, METRICS_SERVER],
            &["cpu", "rate", "keda"],
            Some("keda"),
        )
        .await?;
        outage(testbed, &[KEDA_METRICS_API_SERVER], &["keda"], None).await?;
        for load in loads {
            load.stop().await?.check(1000)?;
        }
        Ok(())
    })
    .await
}

/// A ModelService that follows one signal.
struct Served {
    name: &'static str,
    example: &'static str,
    engine: &'static str,
    targets: Value,
}

/// Applies ModelServices that would remove every pod at once for a reading of zero, and loads them until each has its
/// pods.
async fn under_load(testbed: &Testbed, services: &[Served]) -> Result<Vec<Load>> {
    let eager = json!({
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    });
    for served in services {
        let mut manifest = example::manifest(
            served.example,
            &json!({
                "metadata": {"name": served.name},
                "spec": {"server": {"resources": {"requests": {"cpu": "20m"}}}},
            }),
        )?;
        manifest["spec"]["autoscaling"] = json!({
            "engine": served.engine,
            "minReplicas": 1,
            "maxReplicas": PODS,
            "targets": served.targets,
            "behavior": {"scaleDown": eager},
        });
        if served.engine == "KEDA" {
            // Then the test observes the fallback.
            manifest["spec"]["autoscaling"]["keda"] = json!({"fallbackFailureThreshold": 1});
        }
        testbed.serve(&manifest).await?;
    }
    let mut loads = Vec::new();
    for served in services {
        testbed.until_ready(served.name).await?;
        let held_out = HeldOut::of(served.example)?;
        let plan = Plan {
            features: json!(held_out.rows[0]),
            prediction: json!(held_out.predictions[0]),
            clients: 8,
            requests_per_second: 100,
            at_most: Duration::from_secs(290),
        };
        loads.push(Load::start(node_port(testbed, served.name).await?, &plan)?);
    }
    for Served { name, .. } in services {
        let what = format!("{name} to have its pods");
        let waited = until(&what, SCALE_LIMIT, async || {
            let pods = testbed.pods(name).await?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            Ok(Look::at(ready == 3, || format!("{ready} ready")))
        })
        .await?;
        testbed.report(&format!(
            "{name} has {PODS} pods after {}",
            waited.seconds()
        ));
        testbed
            .until_condition(name, "MetricsHealthy", "True", BACK_LIMIT)
            .await?;
    }
    Ok(loads)
}

/// Stops addons, and restarts them in any case. `falls_back` is the service for which KEDA then uses its fallback.
async fn outage(
    testbed: &Testbed,
    addons: &[Addon],
    blind: &[&str],
    falls_back: Option<&str>,
) -> Result<()> {
    let recording = Recording::of(testbed, &[DEPLOYMENT]).await?;
    for addon in addons {
        addon.stop(&testbed.cluster).await?;
    }
    let meanwhile = is_told(testbed, blind, falls_back).await;
    for addon in addons {
        addon.start(&testbed.cluster).await?;
    }
    let names: Vec<_> = addons.iter().map(|addon| addon.name).collect();
    meanwhile.with_context(|| format!("while {names:?} are away"))?;
    for name in blind {
        let waited = testbed
            .until_condition(name, "MetricsHealthy", "True", BACK_LIMIT)
            .await
            .with_context(|| format!("after {names:?} came back"))?;
        testbed.report(&format!(
            "{name} reads again {} after {names:?} came back",
            waited.seconds()
        ));
    }
    // The first readings don't remove pods either.
    tokio::time::sleep(OUTAGE).await;
    let history = recording.end(testbed).await?;
    for name in blind {
        let counts = history.numbers(DEPLOYMENT, name, "/spec/replicas");
        ensure!(
            counts == [PODS],
            "{name} had {counts:?} pods around the outage of {names:?}"
        );
    }
    Ok(())
}

async fn is_told(testbed: &Testbed, blind: &[&str], falls_back: Option<&str>) -> Result<()> {
    let since = tokio::time::Instant::now();
    for name in blind {
        let left = TOLD_LIMIT.saturating_sub(since.elapsed());
        testbed
            .until_condition(name, "MetricsHealthy", "False", left)
            .await?;
        let service = testbed.get(MODEL_SERVICE, name).await?;
        let told = condition(&service, "MetricsHealthy").context("no MetricsHealthy")?;
        testbed.report(&format!(
            "{name} says {:.1} s later: {}: {}",
            since.elapsed().as_secs_f64(),
            text(told, "/reason"),
            text(told, "/message")
        ));
    }
    if let Some(name) = falls_back {
        let waited = until("KEDA's fallback", FALLBACK_LIMIT, async || {
            let service = testbed.get(MODEL_SERVICE, name).await?;
            let told = condition(&service, "MetricsHealthy").context("no MetricsHealthy")?;
            let is_active = text(told, "/reason") == "FallbackActive";
            Ok(Look::at(is_active, || told.to_string()))
        })
        .await?;
        // Its HPA has just read the fallback, and the other HPAs have synced meanwhile.
        testbed.report(&format!("{name} falls back {} later", waited.seconds()));
    } else {
        tokio::time::sleep(OUTAGE).await;
    }
    Ok(())
}
