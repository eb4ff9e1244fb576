//! A former autoscaler that isn't deleted: the new one waits, and the condition says for which object.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Maximum time until the operator has created, deleted or reported the objects.
const ACT_LIMIT: Duration = Duration::from_secs(30);

/// Maximum time until a delayed deletion is reported, which takes up to 30 s.
const HELD_LIMIT: Duration = Duration::from_secs(60);

/// KEDA's name, and the name of its HPA.
const FINALIZER: &str = "finalizer.keda.sh";
const KEDA_HPA: &str = "keda-hpa-digits";

#[tokio::test]
async fn a_former_scaled_object_that_a_finalizer_holds_is_told_and_no_hpa_is_made()
-> Result<(), Failure> {
    in_namespace("held", Company::Welcome, async |testbed| {
        let name = scaled_by_keda(testbed).await?;
        let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
        let held = finalizers(json!([FINALIZER]));
        testbed.merge(kind::SCALED_OBJECT, &name, &held).await?;
        switch_to_hpa(testbed, &name).await?;
        let says = [FINALIZER, "`kubectl patch scaledobject digits --type merge"];
        let ready = "AutoscalingReady";
        testbed
            .until_said(&name, ready, "SwitchingAutoscaler", &[], ACT_LIMIT)
            .await?;
        testbed
            .until_said(&name, ready, "HeldByFinalizer", &says, HELD_LIMIT)
            .await?;
        let hpa = testbed.find(kind::AUTOSCALER, &name).await?;
        ensure!(hpa.is_none(), "two autoscalers: {hpa:?}");

        // A part of the message.
        let released = finalizers(Value::Null);
        testbed.merge(kind::SCALED_OBJECT, &name, &released).await?;
        has_hpa_only(testbed, &name).await
    })
    .await
}

#[tokio::test]
async fn an_hpa_that_keda_left_is_told_and_no_other_is_made_beside_it() -> Result<(), Failure> {
    in_namespace("left-by-keda", Company::Welcome, async |testbed| {
        let name = scaled_by_keda(testbed).await?;
        // The state after `kubectl delete scaledobject --cascade=orphan`.
        let left = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": KEDA_HPA},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "maxReplicas": 3,
            },
        });
        testbed.apply(&left).await?;
        switch_to_hpa(testbed, &name).await?;
        let says = [KEDA_HPA, "`kubectl delete hpa keda-hpa-digits`"];
        let ready = "AutoscalingReady";
        testbed
            .until_said(&name, ready, "AnotherAutoscaler", &says, ACT_LIMIT)
            .await?;
        let hpa = testbed.find(kind::AUTOSCALER, &name).await?;
        ensure!(hpa.is_none(), "two autoscalers: {hpa:?}");
        let hpa = testbed.find(kind::AUTOSCALER, KEDA_HPA).await?;
        ensure!(
            hpa.is_some(),
            "the operator has deleted an object of another owner"
        );

        testbed.delete(kind::AUTOSCALER, KEDA_HPA).await?;
        has_hpa_only(testbed, &name).await
    })
    .await
}

async fn scaled_by_keda(testbed: &Testbed) -> Result<String> {
    let name = testbed
        .serve(&example::manifest("digits", &json!({}))?)
        .await?;
    testbed
        .until_there(kind::SCALED_OBJECT, &name, ACT_LIMIT)
        .await?;
    Ok(name)
}

async fn switch_to_hpa(testbed: &Testbed, name: &str) -> Result<Value> {
    let change = json!({"spec": {"autoscaling": {"engine": "HPA", "targets": {
        "requestsPerSecond": null, "queueSize": null, "p95LatencyMilliseconds": null,
        "cpuUtilizationPercent": 60,
    }}}});
    testbed.merge(kind::MODEL_SERVICE, name, &change).await
}

/// Waits until the HPA is the only autoscaler, and the condition no longer names the former one.
async fn has_hpa_only(testbed: &Testbed, name: &str) -> Result<()> {
    testbed
        .until_there(kind::AUTOSCALER, name, ACT_LIMIT)
        .await?;
    for (kind, former) in [(kind::SCALED_OBJECT, name), (kind::AUTOSCALER, KEDA_HPA)] {
        let found = testbed.find(kind, former).await?;
        ensure!(found.is_none(), "two autoscalers: {found:?}");
    }
    until("the switch to be over", ACT_LIMIT, async || {
        let service = testbed.get(kind::MODEL_SERVICE, name).await?;
        let ready = springtide_e2e::testbed::condition(&service, "AutoscalingReady").cloned();
        let ready = ready.unwrap_or_default();
        let is_over = ![
            "AnotherAutoscaler",
            "HeldByFinalizer",
            "SwitchingAutoscaler",
        ]
        .iter()
        .any(|reason| ready["reason"] == *reason);
        Ok(Look::at(is_over, || ready.to_string()))
    })
    .await?;
    Ok(())
}
