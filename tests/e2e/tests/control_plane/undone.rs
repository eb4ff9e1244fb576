//! Another client that reverts a field of a child as often as the operator applies it.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use springtide_e2e::cluster::FIELD_MANAGER;
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace};
use springtide_e2e::{example, kind};

/// Maximum time until the operator has created or changed an object.
const ACT_LIMIT: Duration = Duration::from_secs(30);

/// Maximum time until the operator leaves the Deployment unchanged.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Time for which it must then leave the Deployment unchanged.
const QUIET: Duration = Duration::from_secs(3);

/// Polling interval of the other client.
const PERIOD: Duration = Duration::from_millis(200);

/// Number of times that the operator restores the field before it stops.
const MOST_WRITES: usize = 5;

/// The field that the other client sets, and its value. The operator applies another value.
const FIELD: &str = "/spec/progressDeadlineSeconds";
const THEIRS: i64 = 7;

#[tokio::test]
async fn an_operator_whose_writes_are_undone_stops_and_names_the_other_client()
-> Result<(), Failure> {
    in_namespace("undone", Company::Welcome, async |testbed| {
        let name = testbed
            .serve(&example::manifest("iris", &json!({}))?)
            .await?;
        testbed
            .until_there(kind::DEPLOYMENT, &name, ACT_LIMIT)
            .await?;
        let other = format!("field manager {FIELD_MANAGER}");
        let says = [other.as_str(), "tries again every 5 minutes"];
        let as_it_should_be = async || {
            testbed
                .until_said(&name, "RolloutComplete", "WritesUndone", &says, STOP_LIMIT)
                .await?;
            let before = testbed.get(kind::DEPLOYMENT, &name).await?;
            tokio::time::sleep(QUIET).await;
            let after = testbed.get(kind::DEPLOYMENT, &name).await?;
            for deployment in [&before, &after] {
                ensure!(
                    deployment.pointer(FIELD) == Some(&json!(THEIRS)),
                    "it isn't left as it is"
                );
            }
            ensure!(
                generation(&before) == generation(&after),
                "the operator goes on"
            );
            anyhow::Ok(())
        };
        tokio::select! {
            stopped = as_it_should_be() => stopped?,
            fault = set_back(testbed, &name) => fault?,
        }

        // The other client has stopped. A write with another body is sent at once.
        let change = json!({"spec": {"server": {"maxQueueRows": 77}}});
        testbed.merge(kind::MODEL_SERVICE, &name, &change).await?;
        testbed
            .until_said(&name, "RolloutComplete", "RollingOut", &[], ACT_LIMIT)
            .await?;
        let deployment = testbed.get(kind::DEPLOYMENT, &name).await?;
        ensure!(
            deployment.pointer(FIELD) == Some(&json!(600)),
            "{:?}",
            deployment.pointer(FIELD)
        );
        Ok(())
    })
    .await
}

fn generation(deployment: &Value) -> &Value {
    &deployment["metadata"]["generation"]
}

/// Sets the field whenever it has another value. Fails if the operator doesn't stop restoring it.
async fn set_back(testbed: &Testbed, name: &str) -> Result<()> {
    let theirs = json!({"spec": {"progressDeadlineSeconds": THEIRS}});
    for _ in 0..=MOST_WRITES {
        testbed.merge(kind::DEPLOYMENT, name, &theirs).await?;
        while testbed.get(kind::DEPLOYMENT, name).await?.pointer(FIELD) == Some(&json!(THEIRS)) {
            tokio::time::sleep(PERIOD).await;
        }
    }
    bail!("the operator has put it back more than {MOST_WRITES} times")
}
