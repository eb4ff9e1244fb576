//! The status reports whether requests share batches, and why, as the pods report it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_contract::{
    batching::{BatchingMode, BatchingReason},
    env,
};
use springtide_e2e::json::{items, text};
use springtide_e2e::testbed::{Company, Failure, Testbed, condition, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Maximum time until the operator has queried pods that are ready or new.
const TOLD_LIMIT: Duration = Duration::from_secs(60);

/// Maximum time until a pod with the new mode has replaced the former one.
const ROLLOUT_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn whether_requests_share_batches_is_told_and_can_be_set() -> Result<(), Failure> {
    in_namespace("batching", Company::Welcome, async |testbed| {
        let name = testbed
            .serve_until_ready(&example::fixed_iris("batching", 1, &json!({}))?)
            .await?;
        told(testbed, &name, BatchingReason::Proven).await?;
        pods_have(testbed, &name, BatchingMode::Auto).await?;

        let never = json!({"spec": {"server": {"batching": {"mode": "Never"}}}});
        testbed.merge(kind::MODEL_SERVICE, &name, &never).await?;
        testbed
            .until_condition(&name, "RolloutComplete", "True", ROLLOUT_LIMIT)
            .await?;
        told(testbed, &name, BatchingReason::OwnerNever).await?;
        pods_have(testbed, &name, BatchingMode::Never).await
    })
    .await
}

/// Waits until the status and the condition have this reason, and checks their other fields.
async fn told(testbed: &Testbed, name: &str, reason: BatchingReason) -> Result<()> {
    let waited = until(
        &format!("status.model.batching with {}", reason.name()),
        TOLD_LIMIT,
        async || {
            let service = testbed.get(kind::MODEL_SERVICE, name).await?;
            let seen = text(&service, "/status/model/batching/reason") == reason.name();
            Ok(if seen {
                Look::Seen(service)
            } else {
                Look::NotYet(service["status"]["model"].to_string())
            })
        },
    )
    .await?;
    testbed.report(&format!(
        "{} reported after {}",
        reason.name(),
        waited.seconds()
    ));
    let service = waited.value;
    let batching = &service["status"]["model"]["batching"];
    ensure!(
        batching["enabled"] == reason.enables() && !text(batching, "/message").is_empty(),
        "status.model.batching is {batching}"
    );
    ensure!(
        service["status"]["model"]["sentinelMismatch"] == Value::Null,
        "a sentinel is said to have found something"
    );
    let safe = condition(&service, "BatchingSafe").context("no BatchingSafe")?;
    ensure!(
        text(safe, "/status") == "True" && text(safe, "/reason") == reason.name(),
        "BatchingSafe is {safe}"
    );
    Ok(())
}

/// Checks the batching mode of the current pods.
async fn pods_have(testbed: &Testbed, name: &str, mode: BatchingMode) -> Result<()> {
    let pods = testbed.pods(name).await?;
    let staying = pods
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"] == Value::Null)
        .collect::<Vec<_>>();
    ensure!(!staying.is_empty(), "no pod");
    for pod in staying {
        let variables = items(pod, "/spec/containers/0/env");
        let value = variables
            .iter()
            .find(|variable| variable["name"] == env::BATCHING_MODE)
            .map(|variable| text(variable, "/value"));
        ensure!(
            value == Some(mode.name()),
            "{} is {value:?}, expected {}",
            env::BATCHING_MODE,
            mode.name()
        );
    }
    Ok(())
}
