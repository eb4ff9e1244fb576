//! Missing objects for which the kubelet waits are reported. Pods start once they exist.

use anyhow::Result;
use serde_json::json;
use springtide_e2e::testbed::{Company, Failure, READY_LIMIT, Testbed, in_namespace};
use springtide_e2e::{example, kind};

/// The missing Secret or ConfigMap.
const LACKING: &str = "lacking";

#[tokio::test]
async fn a_volume_that_cannot_be_mounted_is_named() -> Result<(), Failure> {
    let pod = json!({
        "volumes": [{"name": "settings", "secret": {"secretName": LACKING}}],
        "volumeMounts": [{"name": "settings", "mountPath": "/settings"}],
    });
    in_namespace("mounts", Company::Welcome, async |testbed| {
        serve(testbed, &pod).await?;
        let says = &[LACKING, "not found"];
        testbed
            .until_said(
                "iris",
                "WorkloadAvailable",
                "VolumeNotMounted",
                says,
                READY_LIMIT,
            )
            .await?;
        comes(testbed, kind::SECRET.name).await
    })
    .await
}

#[tokio::test]
async fn an_environment_that_lacks_its_source_is_named() -> Result<(), Failure> {
    let pod = json!({"envFrom": [{"configMapRef": {"name": LACKING}}]});
    in_namespace("environment", Company::Welcome, async |testbed| {
        serve(testbed, &pod).await?;
        let says = &["configmap \"lacking\" not found"];
        testbed
            .until_said(
                "iris",
                "WorkloadAvailable",
                "ContainerNotStarted",
                says,
                READY_LIMIT,
            )
            .await?;
        comes(testbed, "ConfigMap").await
    })
    .await
}

async fn serve(testbed: &Testbed, pod: &serde_json::Value) -> Result<()> {
    let change = json!({"spec": {"pod": pod}});
    testbed
        .serve(&example::fixed_iris("iris", 1, &change)?)
        .await?;
    Ok(())
}

/// Creates the missing object, and waits until the model is served.
async fn comes(testbed: &Testbed, kind: &str) -> Result<()> {
    let data = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": LACKING}});
    testbed.apply(&data).await?;
    let ready = testbed.until_ready("iris").await?;
    testbed.report(&format!("Ready {} after the {kind}", ready.seconds()));
    Ok(())
}
