//! Pod statuses of a kubelet. There is none, so the tests write them.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use springtide_e2e::testbed::Testbed;

/// Merges into the status of a pod.
pub(crate) async fn says(testbed: &Testbed, pod: &str, status: &Value) -> Result<()> {
    let change = json!({"status": status});
    Api::<Pod>::namespaced(testbed.cluster.client(), &testbed.namespace)
        .patch_status(pod, &PatchParams::default(), &Patch::Merge(&change))
        .await?;
    Ok(())
}
