//! `kubectl rollout pause`: the conditions report the effect, and the command that ends it.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::json::{same, text};
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

use crate::kubelet;

/// Maximum time until the operator or the Deployment controller has acted.
const ACT_LIMIT: Duration = Duration::from_secs(30);

/// Time for which a paused Deployment must stay paused.
const STAYS: Duration = Duration::from_secs(2);

/// The command in the conditions.
const RESUME: &str = "`kubectl rollout resume deployment iris`";

#[tokio::test]
async fn a_paused_deployment_is_told_until_it_is_resumed() -> Result<(), Failure> {
    in_namespace("paused", Company::Welcome, async |testbed| {
        let name = testbed
            .serve(&example::manifest("iris", &json!({}))?)
            .await?;
        replica_sets(testbed, 1).await?;
        pause(testbed, &name, true).await?;
        said(testbed, &name, "Paused").await?;
        let change = json!({"spec": {"server": {"maxQueueRows": 77}}});
        testbed.merge(kind::MODEL_SERVICE, &name, &change).await?;
        said(testbed, &name, "Paused").await?;
        tokio::time::sleep(STAYS).await;
        let deployment = testbed.get(kind::DEPLOYMENT, &name).await?;
        ensure!(
            deployment["spec"]["paused"] == true,
            "the operator has resumed the Deployment"
        );
        ensure!(
            deployment["spec"]["template"]
                .to_string()
                .contains("\"77\""),
            "the spec isn't in the Deployment: {}",
            deployment["spec"]["template"]
        );
        replica_sets(testbed, 1).await?;

        pause(testbed, &name, false).await?;
        testbed
            .until_said(&name, "RolloutComplete", "RollingOut", &[], ACT_LIMIT)
            .await?;
        replica_sets(testbed, 2).await
    })
    .await
}

#[tokio::test]
async fn a_complete_rollout_stays_so_while_it_is_paused_until_the_spec_changes()
-> Result<(), Failure> {
    in_namespace("paused-complete", Company::Welcome, async |testbed| {
        let name = testbed
            .serve(&example::fixed_iris("iris", 1, &json!({}))?)
            .await?;
        until("a pod that is ready", ACT_LIMIT, async || {
            let pods = testbed.pods(&name).await?;
            for pod in &pods {
                become_ready(testbed, text(pod, "/metadata/name")).await?;
            }
            Ok(Look::at(!pods.is_empty(), || "no pod".to_owned()))
        })
        .await?;
        testbed
            .until_condition(&name, "RolloutComplete", "True", ACT_LIMIT)
            .await?;
        pause(testbed, &name, true).await?;
        said(testbed, &name, "Complete").await?;
        testbed
            .until_condition(&name, "RolloutComplete", "True", ACT_LIMIT)
            .await?;

        // A new spec isn't served, and `kubectl get` shows it.
        let change = json!({"spec": {"server": {"maxQueueRows": 77}}});
        testbed.merge(kind::MODEL_SERVICE, &name, &change).await?;
        said(testbed, &name, "Paused").await?;
        let shown = testbed
            .cluster
            .columns(&testbed.namespace, kind::MODEL_SERVICE, &name)
            .await?;
        let shown = json!([shown.get("Ready"), shown.get("Reason")]);
        same(
            "columns Ready and Reason",
            &shown,
            &json!(["False", "Paused"]),
        )?;
        Ok(())
    })
    .await
}

async fn pause(testbed: &Testbed, name: &str, is_paused: bool) -> Result<Value> {
    let change = json!({"spec": {"paused": is_paused}});
    testbed.merge(kind::DEPLOYMENT, name, &change).await
}

/// Waits until the rollout condition has this reason, and the command that resumes the rollout.
async fn said(testbed: &Testbed, name: &str, reason: &str) -> Result<()> {
    testbed
        .until_said(name, "RolloutComplete", reason, &[RESUME], ACT_LIMIT)
        .await?;
    Ok(())
}

/// Waits until there is this number of `ReplicaSets`, one for each template that was rolled out.
async fn replica_sets(testbed: &Testbed, count: usize) -> Result<()> {
    until(&format!("{count} ReplicaSets"), ACT_LIMIT, async || {
        let namespace = Some(testbed.namespace.as_str());
        let found = testbed
            .cluster
            .list(namespace, kind::REPLICA_SET, "")
            .await?;
        Ok(Look::at(found.len() == count, || found.len().to_string()))
    })
    .await?;
    Ok(())
}

/// Sets a pod's condition Ready, as a kubelet does.
async fn become_ready(testbed: &Testbed, pod: &str) -> Result<()> {
    let ready =
        json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"phase": "Running", "conditions": [ready]});
    kubelet::says(testbed, pod, &status).await
}
