//! A rollout of a new model under load, without a lost request.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::load::{Load, Plan, node_port};
use springtide_e2e::testbed::{Company, Failure, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{kind, predict};

const REQUESTS_PER_SECOND: u32 = 100;

/// Maximum time until all pods have the new model.
const ROLLOUT_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_new_model_under_load_loses_no_request() -> Result<(), Failure> {
    in_namespace("rollout", Company::OneLoad, async |testbed| {
        let (old, new) = (HeldOut::of("iris")?, HeldOut::of("iris-v2")?);
        ensure!(old.rows[0] == new.rows[0] && old.predictions[0] == new.predictions[0], "both models must agree on the first row");
        testbed.config_map("iris-v2-model", &[("iris-v2.onnx", example::model("iris-v2")?)]).await?;
        let name = testbed.serve_until_ready(&example::manifest("iris", &json!({}))?).await?;
        predict::check_rows_together(testbed, &name, &old, 10).await?;

        let plan = Plan {
            features: json!(old.rows[0]),
            prediction: json!(old.predictions[0]),
            clients: 8,
            requests_per_second: REQUESTS_PER_SECOND,
            at_most: ROLLOUT_LIMIT + Duration::from_secs(60),
        };
        let load = Load::start(node_port(testbed, &name).await?, &plan)?;
        let model = json!({"uri": "configMap://iris-v2-model/iris-v2.onnx", "sha256": example::sha256("iris-v2")?});
        let pods_before = testbed.pods(&name).await?;
        testbed.merge(kind::MODEL_SERVICE, &name, &json!({"spec": {"model": model}})).await?;
        testbed.until_condition(&name, "RolloutComplete", "True", ROLLOUT_LIMIT).await?;
        let waited = until("the old pods to be gone", ROLLOUT_LIMIT, async || {
            let mut left = Vec::new();
            for pod in &pods_before {
                let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
                if testbed.find(kind::POD, pod_name).await?.is_some() {
                    left.push(pod_name);
                }
            }
            Ok(Look::at(left.is_empty(), || format!("{left:?}")))
        })
        .await?;
        let outcome = load.stop().await?;
        testbed.report(&format!("rolled out, old pods gone {} after RolloutComplete; load: {outcome}", waited.seconds()));

        outcome.check(500)?;
        testbed.until_ready(&name).await?;
        predict::check_rows(testbed, &name, &new).await?;
        Ok(())
    })
    .await
}
