//! Pods of the ModelService, and their replies to the queries of the operator.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::future::BoxFuture;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use serde_json::json;
use springtide_contract::batching::{
    BatchingReason, BatchingStatus, MemoryStatus, ModelStatus, ServerStatus,
};
use springtide_operator::pod_status::PodStatusClient;
use springtide_plan::StatusReply;
use springtide_testkit::ResourceType;
use tokio::sync::watch;

use crate::support::{NAME, NAMESPACE, Testbed};

/// The reply of each pod. Pods without one are unreachable.
pub(crate) struct FakePods {
    answers: Mutex<BTreeMap<SocketAddr, StatusReply>>,
    asked: Mutex<Vec<SocketAddr>>,
    /// Whether they reply now. A query before that waits.
    answering: watch::Sender<bool>,
}

impl Default for FakePods {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
            asked: Mutex::default(),
            answering: watch::Sender::new(true),
        }
    }
}

impl FakePods {
    /// Sets the reply of the pod at an address.
    pub(crate) fn answer(&self, ip: &str, answer: StatusReply) {
        lock(&self.answers).insert(address(ip), answer);
    }

    /// The queried addresses since the last call of this method.
    pub(crate) fn take_asked(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut *lock(&self.asked))
    }

    /// Sets whether pods reply, or let queries wait.
    pub(crate) fn set_answering(&self, answering: bool) {
        self.answering.send_replace(answering);
    }
}

impl PodStatusClient for FakePods {
    fn ask(&self, address: SocketAddr) -> BoxFuture<'_, StatusReply> {
        Box::pin(async move {
            lock(&self.asked).push(address);
            let mut answering = self.answering.subscribe();
            answering.wait_for(|answering| *answering).await.unwrap();
            let answers = lock(&self.answers);
            answers
                .get(&address)
                .cloned()
                .unwrap_or(StatusReply::Unreachable)
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The address of a pod's server.
pub(crate) fn address(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), 8000)
}

/// The reply of a server with this batching status.
pub(crate) fn said(reason: BatchingReason, message: &str) -> StatusReply {
    StatusReply::Status(server(reason, message))
}

/// The reply of a server that doesn't batch, serves the file with this SHA-256 and uses this number of MiB at rest.
pub(crate) fn serves(sha256: &str, at_rest_mebibytes: u64) -> StatusReply {
    let mut server = server(BatchingReason::OneRow, "One row.");
    server.models[0].sha256 = Some(sha256.to_owned());
    server.memory = Some(MemoryStatus {
        at_rest_bytes: Some(at_rest_mebibytes << 20),
        ..MemoryStatus::default()
    });
    StatusReply::Status(server)
}

fn server(reason: BatchingReason, message: &str) -> ServerStatus {
    ServerStatus {
        memory: None,
        models: vec![ModelStatus {
            name: NAME.to_owned(),
            version: "1".to_owned(),
            sha256: None,
            batching: BatchingStatus {
                enabled: reason.enables(),
                reason,
                message: message.to_owned(),
            },
        }],
    }
}

impl Testbed {
    /// Adds a pod of the current Deployment that serves at this address.
    pub(crate) fn add_serving_pod(&self, name: &str, ip: &str) {
        let template = self.get::<Deployment>().unwrap()["spec"]["template"].clone();
        let server = json!({
            "name": "server", "image": "", "imageID": "", "restartCount": 0, "ready": true,
            "state": {"running": {}},
        });
        let pod = json!({
            "metadata": template["metadata"],
            "spec": {"containers": []},
            "status": {"podIP": ip, "containerStatuses": [server]},
        });
        let pods = ResourceType::of::<Pod>();
        self.fake.edit(&pods, NAMESPACE, name, "kubelet", &pod);
    }

    /// Deletes a pod.
    pub(crate) fn delete_pod(&self, name: &str) {
        let pods = ResourceType::of::<Pod>();
        self.fake.delete(&pods, NAMESPACE, name);
    }
}
