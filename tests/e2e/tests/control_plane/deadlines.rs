//! Slow starts and slow downloads: deadlines follow the spec. Pods listen on every address family.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::json::{items, same, text};
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Maximum time until the operator has acted.
const ACT_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn deadlines_follow_the_start_and_the_size_that_the_spec_allows() -> Result<(), Failure> {
    in_namespace("deadlines", Company::Welcome, async |testbed| {
        // Half a gigabyte per minute, and no time for a ConfigMap, which has at most a mebibyte.
        let web =
            json!({"uri": "https://models.example.com/large.onnx", "maxSizeMebibytes": 20_000});
        let slow = json!({"spec": {"model": web, "server": {"startupTimeoutSeconds": 900}}});
        testbed
            .apply(&example::fixed_iris("slow", 1, &slow)?)
            .await?;
        testbed
            .serve(&example::fixed_iris("quick", 1, &json!({}))?)
            .await?;
        expect(testbed, "slow", 900, 300 + 2000 + 900).await?;
        expect(testbed, "quick", 300, 600).await?;

        // A manual edit is reverted, and a change of the spec is applied.
        let by_hand = json!({"spec": {"progressDeadlineSeconds": 30}});
        testbed.merge(kind::DEPLOYMENT, "quick", &by_hand).await?;
        expect(testbed, "quick", 300, 600).await?;
        let slower = json!({"spec": {
            "server": {"startupTimeoutSeconds": 1000}, "rollout": {"progressDeadlineSeconds": 5000},
        }});
        testbed.merge(kind::MODEL_SERVICE, "quick", &slower).await?;
        expect(testbed, "quick", 1000, 5000).await
    })
    .await
}

/// Waits until a Deployment has these deadlines, and checks that nothing else limits a download or a start.
async fn expect(testbed: &Testbed, name: &str, startup: i64, progress: i64) -> Result<()> {
    let expected = json!([startup, progress]);
    let deployment = until("the deadlines", ACT_LIMIT, async || {
        let Some(found) = testbed.find(kind::DEPLOYMENT, name).await? else {
            return Ok(Look::NotYet("none".to_owned()));
        };
        let server = &found["spec"]["template"]["spec"]["containers"][0];
        let seconds = json!([
            server["startupProbe"]["failureThreshold"],
            found["spec"]["progressDeadlineSeconds"]
        ]);
        let is_so = same("seconds", &seconds, &expected);
        Ok(match is_so {
            Ok(()) => Look::Seen(found),
            Err(error) => Look::NotYet(error.to_string()),
        })
    })
    .await?
    .value;
    let pod = &deployment["spec"]["template"]["spec"];
    let fetch = items(pod, "/initContainers/0/args");
    let is_bounded = |arg: &Value| arg.as_str().is_some_and(|arg| arg.contains("timeout"));
    ensure!(
        !fetch.iter().any(is_bounded),
        "a download is cut off: {fetch:?}"
    );
    ensure!(pod["activeDeadlineSeconds"].is_null(), "pods end: {pod}");
    // Without it the server listens over IPv6 and IPv4.
    let mut variables = items(pod, "/containers/0/env").iter();
    ensure!(
        !variables.any(|variable| text(variable, "/name") == "HOST"),
        "pods listen on one address: {pod}"
    );
    Ok(())
}
