//! While an HPA changes the replicas, the operator's reconciles don't.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::history::{History, Recording};
use springtide_e2e::kind::{
    AUTOSCALER, DEPLOYMENT, DISRUPTION_BUDGET, Kind, MODEL_SERVICE, SERVICE,
};
use springtide_e2e::load::{Load, Plan, node_port};
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace, replicas};
use tokio::time::Instant;

use crate::operator;

/// Number of pods for the load.
const PODS: i64 = 4;

/// Maximum time until the HPA has raised the replicas from 1 to [`PODS`], by one in each sync.
const MOVE_LIMIT: Duration = Duration::from_secs(150);

/// Minimum number of reconciles: one per change of the ModelService, except changes during a reconcile.
const RECONCILES: f64 = 100.0;

#[tokio::test]
async fn reconciles_change_nothing_while_an_hpa_moves_the_pods() -> Result<(), Failure> {
    in_namespace("no-fight", Company::OneLoad, async |testbed| {
        let held_out = HeldOut::of("iris")?;
        let one_by_one = json!({"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]});
        let spec = json!({
            "server": {"resources": {"requests": {"cpu": "20m"}}},
            "autoscaling": {
                "minReplicas": 1,
                "maxReplicas": PODS,
                "targets": {"cpuUtilizationPercent": 50},
                "behavior": {"scaleUp": one_by_one},
            },
        });
        let name = testbed
            .serve_until_ready(&example::manifest("iris", &json!({"spec": spec}))?)
            .await?;
        let plan = Plan {
            features: json!(&held_out.rows[..30]),
            prediction: json!(&held_out.predictions[..30]),
            clients: 16,
            requests_per_second: 250,
            at_most: MOVE_LIMIT,
        };
        let reconciles = operator::reconciles(testbed).await?;
        let kinds = [DEPLOYMENT, AUTOSCALER, SERVICE, DISRUPTION_BUDGET];
        let recording = Recording::of(testbed, &kinds).await?;
        let load = Load::start(node_port(testbed, &name).await?, &plan)?;
        let touches = touch_until_moved(testbed, &name).await?;
        load.stop().await?.check(1000)?;
        let history = recording.end(testbed).await?;
        let reconciles = operator::reconciles(testbed).await? - reconciles;
        testbed.report(&format!("{touches} touches, {reconciles} reconciles"));
        ensure!(reconciles >= RECONCILES, "only {reconciles} reconciles");
        check(testbed, &history, &name)?;
        says_what_limited_it(testbed, &name).await
    })
    .await
}

/// Triggers reconciles until the HPA has added its last pod.
async fn touch_until_moved(testbed: &Testbed, name: &str) -> Result<u32> {
    let start = Instant::now();
    for touch in 0.. {
        let annotation =
            json!({"metadata": {"annotations": {"springtide-e2e/touch": touch.to_string()}}});
        testbed.merge(MODEL_SERVICE, name, &annotation).await?;
        let wanted = replicas(&testbed.get(DEPLOYMENT, name).await?);
        if wanted == PODS {
            return Ok(touch);
        }
        ensure!(
            start.elapsed() < MOVE_LIMIT,
            "the HPA wants {wanted} pods after {} s",
            MOVE_LIMIT.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(0)
}

fn check(testbed: &Testbed, history: &History, name: &str) -> Result<()> {
    let counts = history.numbers(DEPLOYMENT, name, "/spec/replicas");
    testbed.report(&format!("the HPA went through {counts:?} pods"));
    ensure!(
        counts.len() > 2 && counts.is_sorted(),
        "the pods went through {counts:?}"
    );
    // In the Deployment's spec only the replicas have changed.
    let generations = history.numbers(DEPLOYMENT, name, "/metadata/generation");
    ensure!(
        generations.len() == counts.len(),
        "generations {generations:?} for {counts:?} pods"
    );
    let hpa = specs(history, AUTOSCALER, name);
    ensure!(hpa == 1, "the HPA had {hpa} specs");
    for kind in [SERVICE, DISRUPTION_BUDGET] {
        let specs = specs(history, kind, name);
        ensure!(specs == 1, "the {} had {specs} specs", kind.name);
    }
    let services = history.versions(SERVICE, name).count();
    ensure!(services == 1, "the Service was written {services} times");
    Ok(())
}

/// The load requires all pods at once, and the policy allows one per sync.
async fn says_what_limited_it(testbed: &Testbed, name: &str) -> Result<()> {
    let waited = testbed
        .until_decided(name, "a decision that a policy limited", |decisions| {
            let mut decisions = decisions.iter();
            decisions
                .find(|decision| decision["limitedBy"] == "Policies")
                .cloned()
        })
        .await?;
    testbed.report(&format!("said: {}", waited.value));
    Ok(())
}

/// The number of different specs and labels of an object, without its status.
fn specs(history: &History, kind: Kind, name: &str) -> usize {
    let mut specs: Vec<_> = history
        .versions(kind, name)
        .map(|object| (&object["spec"], &object["metadata"]["labels"]))
        .collect();
    specs.dedup();
    specs.len()
}
