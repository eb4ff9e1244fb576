//! A quota that is used up keeps no new spec out, whether the former pods serve or never did.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use springtide_e2e::bed::{Company, Failure, READY_LIMIT, condition, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Longest time until all pods are new, one after the other.
const ROLLOUT_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_full_quota_keeps_no_new_spec_out() -> Result<(), Failure> {
    in_namespace("no-room", Company::Welcome, async |bed| {
        bed.apply(&json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"},
            "spec": {"hard": {"pods": "2"}},
        }))
        .await?;
        let wrong = json!({"spec": {"model": {"sha256": "0".repeat(64)}}});
        let name = bed.serve(&example::fixed_iris("full", 2, &wrong)?).await?;
        bed.until_condition(&name, "ModelLoaded", "False", READY_LIMIT)
            .await?;

        let right = json!({"spec": {"model": {"sha256": example::sha256("iris")?}}});
        bed.merge(kind::MODEL_SERVICE, &name, &right).await?;
        let waited = bed.until_ready(&name).await?;
        bed.report(&format!(
            "pods that never served made room: Ready after {}",
            waited.seconds()
        ));

        let before = bed.pods(&name).await?;
        let slower = json!({"spec": {"server": {"requestTimeoutMilliseconds": 4000}}});
        bed.merge(kind::MODEL_SERVICE, &name, &slower).await?;
        let mut served_by_none = false;
        let waited = until(
            "the rollout to say that it goes one pod at a time, and to end",
            ROLLOUT_LIMIT,
            async || {
                let service = bed.get(kind::MODEL_SERVICE, &name).await?;
                served_by_none |= service["status"]["readyReplicas"] == 0;
                let rollout = condition(&service, "RolloutComplete")
                    .cloned()
                    .unwrap_or_default();
                Ok(Look::at(rollout["reason"] == "OnePodAtATime", || {
                    rollout.to_string()
                }))
            },
        )
        .await?;
        bed.until_condition(&name, "RolloutComplete", "True", ROLLOUT_LIMIT)
            .await?;
        bed.report(&format!("one pod at a time after {}", waited.seconds()));
        ensure!(!served_by_none, "no pod served during the rollout");
        for pod in &before {
            let former = pod["metadata"]["name"].as_str().unwrap_or_default();
            let left = bed.find(kind::POD, former).await?;
            ensure!(
                left.is_none_or(|pod| !pod["metadata"]["deletionTimestamp"].is_null()),
                "{former} is left"
            );
        }
        let deployment = bed.get(kind::DEPLOYMENT, &name).await?;
        let strategy = &deployment["spec"]["strategy"]["rollingUpdate"];
        ensure!(
            *strategy == json!({"maxSurge": "25%", "maxUnavailable": 0}),
            "{strategy}"
        );
        Ok(())
    })
    .await
}
