//! What the kubelet waits for is named, and pods start once it is there.

use anyhow::Result;
use serde_json::json;
use springtide_e2e::bed::{Bed, Company, Failure, READY_LIMIT, in_namespace};
use springtide_e2e::{example, kind};

/// The Secret or ConfigMap that lacks.
const LACKING: &str = "lacking";

#[tokio::test]
async fn a_volume_that_cannot_be_mounted_is_named() -> Result<(), Failure> {
    let pod = json!({
        "volumes": [{"name": "settings", "secret": {"secretName": LACKING}}],
        "volumeMounts": [{"name": "settings", "mountPath": "/settings"}],
    });
    in_namespace("mounts", Company::Welcome, async |bed| {
        serve(bed, &pod).await?;
        let says = &[LACKING, "not found"];
        bed.until_said(
            "iris",
            "WorkloadAvailable",
            "VolumeNotMounted",
            says,
            READY_LIMIT,
        )
        .await?;
        comes(bed, kind::SECRET.name).await
    })
    .await
}

#[tokio::test]
async fn an_environment_that_lacks_its_source_is_named() -> Result<(), Failure> {
    let pod = json!({"envFrom": [{"configMapRef": {"name": LACKING}}]});
    in_namespace("environment", Company::Welcome, async |bed| {
        serve(bed, &pod).await?;
        let says = &["configmap \"lacking\" not found"];
        bed.until_said(
            "iris",
            "WorkloadAvailable",
            "ContainerNotStarted",
            says,
            READY_LIMIT,
        )
        .await?;
        comes(bed, "ConfigMap").await
    })
    .await
}

async fn serve(bed: &Bed, pod: &serde_json::Value) -> Result<()> {
    let change = json!({"spec": {"pod": pod}});
    bed.serve(&example::fixed_iris("iris", 1, &change)?).await?;
    Ok(())
}

/// Makes what lacks, and waits until the model is served.
async fn comes(bed: &Bed, kind: &str) -> Result<()> {
    let data = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": LACKING}});
    bed.apply(&data).await?;
    let ready = bed.until_ready("iris").await?;
    bed.report(&format!("Ready {} after the {kind}", ready.seconds()));
    Ok(())
}
