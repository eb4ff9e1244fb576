//! A memory target that pods exceed at rest isn't followed, because more pods could not reach it.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use springtide_e2e::json::{items, number, text};
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace, replicas};
use springtide_e2e::{example, kind};

/// Less than the memory of a pod with the smallest model.
const REQUEST: &str = "8Mi";

/// Maximum time until pods have reported their memory.
const SAID_LIMIT: Duration = Duration::from_secs(90);

/// Two syncs of an HPA. Each would have added pods.
const TWO_LOOKS: Duration = Duration::from_secs(35);

#[tokio::test]
async fn a_memory_target_without_room_at_rest_adds_no_pod() -> Result<(), Failure> {
    in_namespace("memory-at-rest", Company::Welcome, async |testbed| {
        let spec = json!({
            "server": {"resources": {"requests": {"memory": REQUEST}, "limits": {"memory": "256Mi"}}},
            "autoscaling": {"minReplicas": 1, "maxReplicas": 3},
        });
        let name = testbed
            .serve(&example::manifest("iris", &json!({"spec": spec}))?)
            .await?;
        let says = &["memoryUtilizationPercent isn't followed", "requests.memory to"];
        testbed.until_said(&name, "AutoscalingReady", "MemoryNotFollowed", says, SAID_LIMIT)
            .await?;
        testbed.until_ready(&name).await?;
        let service = testbed.get(kind::MODEL_SERVICE, &name).await?;
        let at_rest = number(&service, "/status/model/memoryAtRestMebibytes");
        ensure!((8..256).contains(&at_rest), "{at_rest} MiB at rest");
        is_not_followed(testbed, &name).await?;
        tokio::time::sleep(TWO_LOOKS).await;
        let wanted = replicas(&testbed.get(kind::DEPLOYMENT, &name).await?);
        ensure!(wanted == 1, "{wanted} pods without a request");
        Ok(())
    })
    .await
}

async fn is_not_followed(testbed: &Testbed, name: &str) -> Result<()> {
    let hpa = testbed.get(kind::AUTOSCALER, name).await?;
    let followed: Vec<_> = items(&hpa, "/spec/metrics")
        .iter()
        .map(|metric| text(metric, "/containerResource/name"))
        .collect();
    ensure!(followed == ["cpu"], "the HPA follows {followed:?}");
    Ok(())
}
