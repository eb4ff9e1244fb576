//! The definitions of KEDA are installed without KEDA, as after an incomplete removal.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use springtide_e2e::json::text;
use springtide_e2e::testbed::{Company, Failure, in_namespace};
use springtide_e2e::{example, kind};

/// Maximum time until the operator has created or reported the objects.
const ACT_LIMIT: Duration = Duration::from_secs(30);

/// Maximum time until the operator reports that KEDA doesn't run. KEDA may take a minute to process an object.
const TAKEN_UP_LIMIT: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_scaled_object_that_keda_does_not_look_at_is_told_after_a_minute() -> Result<(), Failure>
{
    in_namespace("keda-not-running", Company::Welcome, async |testbed| {
        let name = testbed
            .serve(&example::manifest("digits", &json!({}))?)
            .await?;
        let ready = "AutoscalingReady";
        testbed
            .until_said(&name, ready, "Starting", &["ScaledObject"], ACT_LIMIT)
            .await?;
        let says = ["external.metrics.k8s.io", "spec.autoscaling.engine to HPA"];
        let waited = testbed
            .until_said(&name, ready, "KedaNotRunning", &says, TAKEN_UP_LIMIT)
            .await?;
        testbed.report(&format!("reported after {}", waited.seconds()));
        testbed.get(kind::SCALED_OBJECT, &name).await?;
        let hpa = testbed.find(kind::AUTOSCALER, &name).await?;
        ensure!(hpa.is_none(), "engine KEDA with an HPA: {hpa:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn engine_auto_takes_an_hpa_where_keda_does_not_run() -> Result<(), Failure> {
    in_namespace("auto-no-keda", Company::Welcome, async |testbed| {
        let change = json!({"spec": {"autoscaling": {"engine": "Auto"}}});
        let name = testbed
            .serve(&example::manifest("digits", &change)?)
            .await?;
        let hpa = testbed
            .until_there(kind::AUTOSCALER, &name, ACT_LIMIT)
            .await?;
        ensure!(
            text(&hpa, "/spec/metrics/0/resource/name") == "cpu"
                || text(&hpa, "/spec/metrics/0/containerResource/name") == "cpu",
            "it doesn't follow CPU: {}",
            hpa["spec"]
        );
        let says = ["queueSize", "KEDA isn't running", "follows CPU at 70 %"];
        let ready = "AutoscalingReady";
        testbed
            .until_said(&name, ready, "SignalsUnavailable", &says, ACT_LIMIT)
            .await?;
        let service = testbed.get(kind::MODEL_SERVICE, &name).await?;
        ensure!(
            text(&service, "/status/autoscaling/engine") == "HPA",
            "{}",
            service["status"]["autoscaling"]
        );
        let scaled_object = testbed.find(kind::SCALED_OBJECT, &name).await?;
        ensure!(
            scaled_object.is_none(),
            "two autoscalers: {scaled_object:?}"
        );
        Ok(())
    })
    .await
}
