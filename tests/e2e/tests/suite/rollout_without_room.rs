//! An exhausted quota doesn't block a new spec, whether the former pods serve or never did.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use springtide_e2e::testbed::{Company, Failure, READY_LIMIT, condition, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Maximum time until all pods are replaced, one after another.
const ROLLOUT_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_full_quota_keeps_no_new_spec_out() -> Result<(), Failure> {
    in_namespace("no-room", Company::Welcome, async |testbed| {
        testbed
            .apply(&json!({
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"},
                "spec": {"hard": {"pods": "2"}},
            }))
            .await?;
        let wrong = json!({"spec": {"model": {"sha256": "0".repeat(64)}}});
        let name = testbed
            .serve(&example::fixed_iris("full", 2, &wrong)?)
            .await?;
        testbed
            .until_condition(&name, "ModelLoaded", "False", READY_LIMIT)
            .await?;

        let right = json!({"spec": {"model": {"sha256": example::sha256("iris")?}}});
        testbed.merge(kind::MODEL_SERVICE, &name, &right).await?;
        let waited = testbed.until_ready(&name).await?;
        testbed.report(&format!(
            "pods that never served made room: Ready after {}",
            waited.seconds()
        ));

        let before = testbed.pods(&name).await?;
        let slower = json!({"spec": {"server": {"requestTimeoutMilliseconds": 4000}}});
        testbed.merge(kind::MODEL_SERVICE, &name, &slower).await?;
        let mut served_by_none = false;
        let waited = until(
            "the rollout to say that it goes one pod at a time, and to end",
            ROLLOUT_LIMIT,
            async || {
                let service = testbed.get(kind::MODEL_SERVICE, &name).await?;
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
        testbed
            .until_condition(&name, "RolloutComplete", "True", ROLLOUT_LIMIT)
            .await?;
        testbed.report(&format!("one pod at a time after {}", waited.seconds()));
        ensure!(!served_by_none, "no pod served during the rollout");
        for pod in &before {
            let former = pod["metadata"]["name"].as_str().unwrap_or_default();
            let left = testbed.find(kind::POD, former).await?;
            ensure!(
                left.is_none_or(|pod| !pod["metadata"]["deletionTimestamp"].is_null()),
                "{former} is left"
            );
        }
        let deployment = testbed.get(kind::DEPLOYMENT, &name).await?;
        let strategy = &deployment["spec"]["strategy"]["rollingUpdate"];
        ensure!(
            *strategy == json!({"maxSurge": "25%", "maxUnavailable": 0}),
            "{strategy}"
        );
        Ok(())
    })
    .await
}
