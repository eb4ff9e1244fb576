//! Reads the events of a pod that doesn't start a container.
//!
//! No failure here fails the reconcile: without permission, the condition has less information.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::{Api, Client, api::ListParams};
use tokio::time::timeout;
use tracing::debug;

use crate::error::brief;

/// Maximum number of events per pod. There are a few for each volume, which repeat.
const MAX_EVENTS: u32 = 50;

/// Timeout of the call.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The events of the pod with a UID. Empty if there is no UID, or if they can't be read.
pub(crate) async fn pod_events(client: &Client, namespace: &str, uid: Option<&str>) -> Vec<Event> {
    let Some(uid) = uid else { return Vec::new() };
    let of_the_pod = ListParams::default()
        .fields(&format!("involvedObject.uid={uid}"))
        .limit(MAX_EVENTS);
    let api = Api::<Event>::namespaced(client.clone(), namespace);
    match timeout(CALL_TIMEOUT, api.list(&of_the_pod)).await {
        Ok(Ok(events)) => events.items,
        Ok(Err(error)) => {
            debug!(
                namespace,
                error = brief(&error),
                "the events of a pod could not be read"
            );
            Vec::new()
        }
        Err(_) => {
            debug!(namespace, "the events of a pod could not be read in time");
            Vec::new()
        }
    }
}
