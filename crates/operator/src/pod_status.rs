//! Asks serving pods what they say of their models.
//!
//! Nothing waits long for them, and nothing fails with them: a pod that can't be asked is an answer, too.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::{Request, StatusCode, Uri};
use futures::future::{BoxFuture, join_all};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use springtide_contract::paths;
use springtide_plan::StatusReply;
use tokio::time::{Instant, timeout};
use tracing::debug;

/// Longest time until a connection is there: inside a cluster it takes a few milliseconds, or a
/// `NetworkPolicy` is in between.
const CONNECT_LIMIT: Duration = Duration::from_millis(250);

/// Time for which a pod that can't be connected to isn't tried again: passes come often, and few go on at
/// the same time.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// Longest time that a pod may take for its answer.
const LIMIT: Duration = Duration::from_secs(1);

/// Most bytes of an answer's head, and of its body: a pod serves one model, in one version or two.
const MAX_BYTES: usize = 64 * 1024;

/// How a pod is asked.
pub trait PodStatusClient: Send + Sync {
    /// What the pod that listens at `address` says. It comes within a second.
    fn ask(&self, address: SocketAddr) -> BoxFuture<'_, StatusReply>;
}

/// The answers of all these pods, which are asked at the same time, in the order of their addresses.
pub(crate) async fn query_all(
    pod_status: &dyn PodStatusClient,
    addresses: &[SocketAddr],
) -> Vec<StatusReply> {
    join_all(addresses.iter().map(|address| pod_status.ask(*address))).await
}

/// Asks over HTTP, each time with a connection of its own.
#[derive(Debug)]
pub struct HttpPodStatusClient {
    client: Client<HttpConnector, Empty<&'static [u8]>>,
    /// Pods that can't be connected to, and when that was tried last.
    out_of_reach: Mutex<HashMap<SocketAddr, Instant>>,
    limit: Duration,
}

impl HttpPodStatusClient {
    /// A client that has no connections yet.
    #[must_use]
    pub fn new() -> Self {
        Self::within(CONNECT_LIMIT, LIMIT)
    }

    fn within(connect_limit: Duration, limit: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_limit));
        Self {
            limit,
            out_of_reach: Mutex::default(),
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .http1_max_buf_size(MAX_BYTES)
                .build(connector),
        }
    }

    /// Pods that could not be connected to a while ago.
    fn out_of_reach(&self) -> MutexGuard<'_, HashMap<SocketAddr, Instant>> {
        let mut tried = self
            .out_of_reach
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tried.retain(|_, tried| tried.elapsed() < LEFT_ALONE);
        tried
    }

    async fn get(
        &self,
        address: SocketAddr,
    ) -> Result<StatusReply, hyper_util::client::legacy::Error> {
        // An IPv6 address has its brackets from `SocketAddr`.
        let uri = Uri::builder()
            .scheme("http")
            .authority(address.to_string())
            .path_and_query(paths::STATUS)
            .build();
        let request = uri.and_then(|uri| Request::get(uri).body(Empty::new()));
        let Ok(request) = request else {
            return Ok(StatusReply::Unreachable);
        };
        let response = self.client.request(request).await?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_server_error() => return Ok(StatusReply::Unreachable),
            _ => return Ok(StatusReply::Unreadable),
        }
        let body = Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await;
        let said = body.map(|body| serde_json::from_slice(&body.to_bytes()));
        Ok(match said {
            Ok(Ok(said)) => StatusReply::Status(said),
            Ok(Err(_)) => StatusReply::Unreadable,
            Err(error) if error.is::<http_body_util::LengthLimitError>() => StatusReply::Unreadable,
            Err(_) => StatusReply::Unreachable,
        })
    }
}

impl Default for HttpPodStatusClient {
    fn default() -> Self {
        Self::new()
    }
}

impl PodStatusClient for HttpPodStatusClient {
    fn ask(&self, address: SocketAddr) -> BoxFuture<'_, StatusReply> {
        Box::pin(async move {
            if self.out_of_reach().contains_key(&address) {
                return StatusReply::Unreachable;
            }
            match timeout(self.limit, self.get(address)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => {
                    if error.is_connect() {
                        self.out_of_reach().insert(address, Instant::now());
                    }
                    debug!(%address, %error, "a pod doesn't answer");
                    StatusReply::Unreachable
                }
                Err(_) => {
                    debug!(%address, "a pod doesn't answer in time");
                    StatusReply::Unreachable
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
