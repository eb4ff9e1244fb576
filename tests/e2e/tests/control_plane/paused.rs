//! `kubectl rollout pause`: what it keeps from happening is said, with the command that ends it.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::bed::{Bed, Company, Failure, in_namespace};
use springtide_e2e::json::{same, text};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

use crate::kubelet;

/// Longest time until the operator, or the Deployment controller, has done what there is to do.
const ACT_LIMIT: Duration = Duration::from_secs(30);

/// How long a Deployment that is paused must stay so.
const STAYS: Duration = Duration::from_secs(2);

/// What the conditions tell people to do.
const RESUME: &str = "`kubectl rollout resume deployment iris`";

#[tokio::test]
async fn a_paused_deployment_is_told_until_it_is_resumed() -> Result<(), Failure> {
    in_namespace("paused", Company::Welcome, async |bed| {
        let name = bed.serve(&example::manifest("iris", &json!({}))?).await?;
        replica_sets(bed, 1).await?;
        pause(bed, &name, true).await?;
        said(bed, &name, "Paused").await?;
        let change = json!({"spec": {"server": {"maxQueueRows": 77}}});
        bed.merge(kind::MODEL_SERVICE, &name, &change).await?;
        said(bed, &name, "Paused").await?;
        tokio::time::sleep(STAYS).await;
        let deployment = bed.get(kind::DEPLOYMENT, &name).await?;
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
        replica_sets(bed, 1).await?;

        pause(bed, &name, false).await?;
        bed.until_said(&name, "RolloutComplete", "RollingOut", &[], ACT_LIMIT)
            .await?;
        replica_sets(bed, 2).await
    })
    .await
}

#[tokio::test]
async fn a_complete_rollout_stays_so_while_it_is_paused_until_the_spec_changes()
-> Result<(), Failure> {
    in_namespace("paused-complete", Company::Welcome, async |bed| {
        let name = bed
            .serve(&example::fixed_iris("iris", 1, &json!({}))?)
            .await?;
        until("a pod that is ready", ACT_LIMIT, async || {
            let pods = bed.pods(&name).await?;
            for pod in &pods {
                become_ready(bed, text(pod, "/metadata/name")).await?;
            }
            Ok(Look::at(!pods.is_empty(), || "no pod".to_owned()))
        })
        .await?;
        bed.until_condition(&name, "RolloutComplete", "True", ACT_LIMIT)
            .await?;
        pause(bed, &name, true).await?;
        said(bed, &name, "Complete").await?;
        bed.until_condition(&name, "RolloutComplete", "True", ACT_LIMIT)
            .await?;

        // A new spec isn't served, and a list says so.
        let change = json!({"spec": {"server": {"maxQueueRows": 77}}});
        bed.merge(kind::MODEL_SERVICE, &name, &change).await?;
        said(bed, &name, "Paused").await?;
        let shown = bed
            .cluster
            .columns(&bed.namespace, kind::MODEL_SERVICE, &name)
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

async fn pause(bed: &Bed, name: &str, is_paused: bool) -> Result<Value> {
    let change = json!({"spec": {"paused": is_paused}});
    bed.merge(kind::DEPLOYMENT, name, &change).await
}

/// Waits until the rollout has this reason, and the command that resumes it.
async fn said(bed: &Bed, name: &str, reason: &str) -> Result<()> {
    bed.until_said(name, "RolloutComplete", reason, &[RESUME], ACT_LIMIT)
        .await?;
    Ok(())
}

/// Waits until there are as many `ReplicaSets`, one for each template that was rolled out.
async fn replica_sets(bed: &Bed, count: usize) -> Result<()> {
    until(&format!("{count} ReplicaSets"), ACT_LIMIT, async || {
        let namespace = Some(bed.namespace.as_str());
        let found = bed.cluster.list(namespace, kind::REPLICA_SET, "").await?;
        Ok(Look::at(found.len() == count, || found.len().to_string()))
    })
    .await?;
    Ok(())
}

/// Says of a pod that it is ready, as a kubelet would.
async fn become_ready(bed: &Bed, pod: &str) -> Result<()> {
    let ready =
        json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"phase": "Running", "conditions": [ready]});
    kubelet::says(bed, pod, &status).await
}
