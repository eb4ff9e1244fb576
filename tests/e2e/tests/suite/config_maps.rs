//! ConfigMaps that are created after their ModelService, and ConfigMaps whose content is replaced.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::json::text;
use springtide_e2e::testbed::{Company, Failure, READY_LIMIT, Testbed, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{kind, predict};

/// Name of the ConfigMap, and its key.
const CONFIG_MAP: (&str, &str) = ("iris-model", "iris.onnx");

/// Maximum time until pods with different files are noticed and replaced.
const REPLACED_LIMIT: Duration = Duration::from_secs(150);

/// A ModelService for the ConfigMap, without a checksum.
fn unchecked(name: &str, replicas: u32) -> Result<Value> {
    let change = json!({"spec": {"model": {"sha256": null}}});
    example::fixed_iris(name, replicas, &change)
}

async fn has(testbed: &Testbed, model: &str) -> Result<()> {
    let (name, key) = CONFIG_MAP;
    testbed
        .config_map(name, &[(key, example::model(model)?)])
        .await
}

/// The kubelet would restart the container after up to five minutes.
#[tokio::test]
async fn a_config_map_that_comes_late_is_served_by_a_new_pod() -> Result<(), Failure> {
    in_namespace("late-config-map", Company::Welcome, async |testbed| {
        testbed.apply(&unchecked("iris", 1)?).await?;
        let says = &[CONFIG_MAP.1];
        testbed
            .until_said("iris", "ModelLoaded", "ModelNotFound", says, READY_LIMIT)
            .await?;
        let waited = testbed.pods("iris").await?;
        has(testbed, "iris").await?;
        let ready = testbed.until_ready("iris").await?;
        testbed.report(&format!("Ready {} after the ConfigMap", ready.seconds()));
        predict::check_rows(testbed, "iris", &HeldOut::of("iris")?).await?;
        for pod in testbed.pods("iris").await? {
            let uid = text(&pod, "/metadata/uid");
            ensure!(
                waited
                    .iter()
                    .all(|former| text(former, "/metadata/uid") != uid),
                "the pod that waited was left to the kubelet"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn pods_of_a_config_map_that_is_replaced_in_place_end_with_one_model() -> Result<(), Failure>
{
    in_namespace("replaced-config-map", Company::Welcome, async |testbed| {
        has(testbed, "iris").await?;
        testbed.apply(&unchecked("iris", 1)?).await?;
        testbed.until_ready("iris").await?;
        ensure!(features(testbed).await? == BTreeSet::from([4]), "not iris");

        has(testbed, "digits").await?;
        let scale = json!({"spec": {"replicas": 2}});
        testbed.merge(kind::MODEL_SERVICE, "iris", &scale).await?;
        testbed
            .until_said(
                "iris",
                "RolloutComplete",
                "ModelsDiffer",
                &[],
                REPLACED_LIMIT,
            )
            .await?;
        let sum = example::sha256("digits")?;
        let replaced = until("one model in all pods", REPLACED_LIMIT, async || {
            let service = testbed.get(kind::MODEL_SERVICE, "iris").await?;
            let is_named = text(&service, "/status/model/replacementSha256") == sum;
            let served = if is_named {
                features(testbed).await?
            } else {
                BTreeSet::new()
            };
            let is_one = served == BTreeSet::from([64]);
            Ok(Look::at(is_one, || service["status"].to_string()))
        })
        .await?;
        testbed.report(&format!("one model again after {}", replaced.seconds()));
        testbed.until_ready("iris").await.map(drop)
    })
    .await
}

/// The number of features of the models in ready pods.
async fn features(testbed: &Testbed) -> Result<BTreeSet<i64>> {
    let mut served = BTreeSet::new();
    for pod in testbed.pods("iris").await? {
        let answer = testbed
            .ask_pod(text(&pod, "/metadata/name"), "/v2/models/iris")
            .await?;
        if let Ok(metadata) = serde_json::from_str::<Value>(&answer.body) {
            served.extend(metadata["inputs"][0]["shape"][1].as_i64());
        }
    }
    Ok(served)
}
