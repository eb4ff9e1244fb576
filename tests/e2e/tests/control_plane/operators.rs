//! Two operators that watch one namespace: real processes and a real API server.

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::bed::{Company, Failure, condition, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Longest time until an operator has done what there is to do.
const ACT_LIMIT: Duration = Duration::from_secs(60);

/// How long no operator may undo the other's work: issue reports saw 3 writes a second.
const QUIET: Duration = Duration::from_secs(5);

/// An operator that ends with the test.
struct Operator(Child);

impl Operator {
    /// One of a team, with rights over everything, for one namespace.
    fn start(namespace: &str) -> Result<Self> {
        let program = env::var("SPRINGTIDE_OPERATOR").context("SPRINGTIDE_OPERATOR")?;
        let child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--leader-election", "false"])
            .args(["--server-image", "registry.example.com/another:1"])
            .args([
                "--watch-namespaces",
                namespace,
                "--lease-namespace",
                namespace,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test]
async fn of_two_operators_one_acts_and_the_other_says_so() -> Result<(), Failure> {
    in_namespace("two-operators", Company::Welcome, async |bed| {
        let image = "/spec/template/spec/containers/0/image";
        let name = bed.serve(&example::manifest("iris", &json!({}))?).await?;
        until(
            "the Deployment of the first operator",
            ACT_LIMIT,
            async || {
                let found = bed.find(kind::DEPLOYMENT, &name).await?;
                Ok(Look::at(found.is_some(), || "none".to_owned()))
            },
        )
        .await?;
        let _team = Operator::start(&bed.namespace)?;
        until(
            "the first operator to say that it leaves it",
            ACT_LIMIT,
            async || {
                let service = bed.get(kind::MODEL_SERVICE, &name).await?;
                let sole = condition(&service, "SoleOperator")
                    .cloned()
                    .unwrap_or_default();
                Ok(Look::at(sole["reason"] == "AnotherOperator", || {
                    sole.to_string()
                }))
            },
        )
        .await?;
        // A new spec, since what another operator makes of the former one waits until its pods are available.
        let change = json!({"spec": {"server": {"maxQueueRows": 77}}});
        bed.merge(kind::MODEL_SERVICE, &name, &change).await?;
        until(
            "the team's operator to carry it out",
            ACT_LIMIT,
            async || {
                let deployment = bed.get(kind::DEPLOYMENT, &name).await?;
                let now = deployment.pointer(image).cloned().unwrap_or_default();
                Ok(Look::at(now == "registry.example.com/another:1", || {
                    now.to_string()
                }))
            },
        )
        .await?;
        // The rollout that the team's operator began may take it two writes more.
        let before = bed.get(kind::DEPLOYMENT, &name).await?;
        let number = |deployment: &Value| {
            deployment["metadata"]["generation"]
                .as_i64()
                .unwrap_or_default()
        };
        let undone = until("a write that there must not be", QUIET, async || {
            let deployment = bed.get(kind::DEPLOYMENT, &name).await?;
            let is_back = deployment.pointer(image) != before.pointer(image);
            Ok(Look::at(
                is_back || number(&deployment) > number(&before) + 2,
                || "none".to_owned(),
            ))
        })
        .await;
        ensure!(undone.is_err(), "the two operators write over each other");

        Ok(())
    })
    .await
}
