//! Reads a ConfigMap that pods wait for, and deletes these pods once it exists.
//!
//! No failure here fails the reconcile: without permission, the pods wait for the kubelet, as they would without the
//! operator.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ObjectMeta, Preconditions},
};
use springtide_plan::PodToReplace;
use tokio::time::timeout;
use tracing::{debug, info};

use crate::error::brief;

/// Timeout of each call.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The metadata of a ConfigMap. None if there is no name, no ConfigMap, or no permission.
pub(crate) async fn config_map(
    client: &Client,
    namespace: &str,
    name: Option<&str>,
) -> Option<ObjectMeta> {
    let name = name?;
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    match timeout(CALL_TIMEOUT, api.get_metadata_opt(name)).await {
        Ok(Ok(found)) => found.map(|found| found.metadata),
        Ok(Err(error)) => {
            debug!(
                namespace,
                name,
                error = brief(&error),
                "a ConfigMap could not be read"
            );
            None
        }
        Err(_) => {
            debug!(namespace, name, "a ConfigMap could not be read in time");
            None
        }
    }
}

/// Deletes pods that wait for an object that now exists. Their ReplicaSet replaces them.
pub(crate) async fn replace(client: &Client, namespace: &str, pods: &[PodToReplace]) {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    for PodToReplace { name, uid } in pods {
        let parameters = DeleteParams::default().preconditions(Preconditions {
            uid: Some(uid.clone()),
            resource_version: None,
        });
        match timeout(CALL_TIMEOUT, api.delete(name, &parameters)).await {
            Ok(Ok(_)) => info!(
                namespace,
                pod = name,
                "a pod was replaced: the ConfigMap that it waited for exists"
            ),
            Ok(Err(error)) => debug!(
                namespace,
                pod = name,
                error = brief(&error),
                "a pod could not be deleted"
            ),
            Err(_) => debug!(namespace, pod = name, "a pod could not be deleted in time"),
        }
    }
}
