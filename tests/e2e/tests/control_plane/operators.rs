//! Two operators that watch one namespace: real processes and a real API server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::json::{items, text};
use springtide_e2e::operator_process::{self, OperatorProcess};
use springtide_e2e::testbed::{Company, Failure, condition, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Maximum time until an operator has acted.
const ACT_LIMIT: Duration = Duration::from_secs(60);

/// Time without writes at the end. In reports of fighting operators there were 3 writes per second.
const QUIET: Duration = Duration::from_secs(3);

/// The server image of the team's operator.
const TEAMS_IMAGE: &str = "registry.example.com/another:1";

/// A team's operator for one namespace, with permissions for everything.
fn teams_operator(namespace: &str) -> Result<OperatorProcess> {
    OperatorProcess::start(
        operator_process::program()?
            .args(["--listen", "127.0.0.1:0", "--leader-election", "false"])
            .args(["--server-image", TEAMS_IMAGE])
            .args(["--watch-namespaces", namespace])
            .args(["--lease-namespace", namespace]),
    )
}

/// The changes of a Deployment's spec: their number, writers and times. Writes of the status don't count.
fn written(deployment: &Value) -> Value {
    let writers = items(deployment, "/metadata/managedFields").iter();
    let writes: Vec<Value> = writers
        .filter(|entry| entry["subresource"].is_null())
        .map(|entry| json!([entry["manager"], entry["time"]]))
        .collect();
    json!([deployment["metadata"]["generation"], writes])
}

#[tokio::test]
async fn of_two_operators_one_acts_and_the_other_says_so() -> Result<(), Failure> {
    in_namespace("two-operators", Company::Welcome, async |testbed| {
        let image = "/spec/template/spec/containers/0/image";
        let name = testbed
            .serve(&example::manifest("iris", &json!({}))?)
            .await?;
        until(
            "the Deployment of the first operator",
            ACT_LIMIT,
            async || {
                let found = testbed.find(kind::DEPLOYMENT, &name).await?;
                Ok(Look::at(found.is_some(), || "none".to_owned()))
            },
        )
        .await?;
        let _team = teams_operator(&testbed.namespace)?;
        until(
            "the first operator to say that it leaves it",
            ACT_LIMIT,
            async || {
                let service = testbed.get(kind::MODEL_SERVICE, &name).await?;
                let sole = condition(&service, "SoleOperator")
                    .cloned()
                    .unwrap_or_default();
                Ok(Look::at(sole["reason"] == "AnotherOperator", || {
                    sole.to_string()
                }))
            },
        )
        .await?;
        // A new spec, because an upgrade by another operator waits until the pods are available.
        let change = json!({"spec": {"server": {"maxQueueRows": 77}}});
        testbed.merge(kind::MODEL_SERVICE, &name, &change).await?;
        until(
            "the team's operator to carry it out",
            ACT_LIMIT,
            async || {
                let deployment = testbed.get(kind::DEPLOYMENT, &name).await?;
                let now = text(&deployment, image);
                Ok(Look::at(now == TEAMS_IMAGE, || now.to_owned()))
            },
        )
        .await?;
        // The operator of the team may need more writes for its rollout. A fight would not end.
        let mut last = (Value::Null, Instant::now());
        let mut is_back = false;
        let settled = until("no writes", ACT_LIMIT, async || {
            let deployment = testbed.get(kind::DEPLOYMENT, &name).await?;
            is_back |= text(&deployment, image) != TEAMS_IMAGE;
            let now = written(&deployment);
            if last.0 != now {
                last = (now, Instant::now());
            }
            let is_over = is_back || last.1.elapsed() >= QUIET;
            Ok(Look::at(is_over, || last.0.to_string()))
        });
        settled
            .await
            .context("the two operators write over each other")?;
        ensure!(!is_back, "the first operator has undone the team's");

        Ok(())
    })
    .await
}
