//! Queries serving pods for the status of their models.
//!
//! Timeouts are short, and no failure here fails the reconcile: an unreachable pod is a valid reply.

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

/// Timeout of a connection. In a cluster it takes a few milliseconds, unless a `NetworkPolicy` blocks it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// Time for which an unreachable pod isn't queried again: reconciles are frequent, and their concurrency is limited.
const UNREACHABLE_FOR: Duration = Duration::from_secs(60);

/// Timeout of a query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum bytes of the header, and of the body: a pod serves one model, in one or two versions.
const MAX_BYTES: usize = 64 * 1024;

/// Queries the status of a pod.
pub trait PodStatusClient: Send + Sync {
    /// The reply of the pod at an address, within a second.
    fn ask(&self, address: SocketAddr) -> BoxFuture<'_, StatusReply>;
}

/// The replies of all these pods, which are queried concurrently, in the order of their addresses.
pub(crate) async fn query_all(
    pod_status: &dyn PodStatusClient,
    addresses: &[SocketAddr],
) -> Vec<StatusReply> {
    join_all(addresses.iter().map(|address| pod_status.ask(*address))).await
}

/// Queries over HTTP, with a new connection each time.
#[derive(Debug)]
pub struct HttpPodStatusClient {
    client: Client<HttpConnector, Empty<&'static [u8]>>,
    /// Unreachable pods, and the time of the latest attempt.
    out_of_reach: Mutex<HashMap<SocketAddr, Instant>>,
    limit: Duration,
}

impl HttpPodStatusClient {
    /// Creates a client without connections.
    #[must_use]
    pub fn new() -> Self {
        Self::within(CONNECT_TIMEOUT, QUERY_TIMEOUT)
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

    /// Pods that were unreachable a short time ago.
    fn out_of_reach(&self) -> MutexGuard<'_, HashMap<SocketAddr, Instant>> {
        let mut tried = self
            .out_of_reach
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tried.retain(|_, tried| tried.elapsed() < UNREACHABLE_FOR);
        tried
    }

    async fn get(
        &self,
        address: SocketAddr,
    ) -> Result<StatusReply, hyper_util::client::legacy::Error> {
        // `SocketAddr` writes an IPv6 address with brackets.
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
        let status = body.map(|body| serde_json::from_slice(&body.to_bytes()));
        Ok(match status {
            Ok(Ok(status)) => StatusReply::Status(status),
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
                Ok(Ok(reply)) => reply,
                Ok(Err(error)) => {
                    if error.is_connect() {
                        self.out_of_reach().insert(address, Instant::now());
                    }
                    debug!(%address, %error, "a pod did not respond");
                    StatusReply::Unreachable
                }
                Err(_) => {
                    debug!(%address, "a pod did not respond in time");
                    StatusReply::Unreachable
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
