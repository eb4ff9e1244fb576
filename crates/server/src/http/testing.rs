//! A server without a socket, for the tests of its endpoints.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use serde_json::Value;
use springtide_batching::{Config, Policy};
use tower::ServiceExt;

use super::cors::Cors;
use super::*;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::models::Repository;
use crate::models::testing::{FakeBackend, install};
use crate::preparation::Preparation;
use crate::request_memory::RequestMemory;

/// The name of the model that [`ready_app`] serves.
pub(crate) const MODEL: &str = "fake";

pub(crate) const AT_ONCE: Policy = Policy::WorkConserving {
    max_linger: Duration::ZERO,
};

/// The memory for requests, in bytes.
pub(crate) const REQUEST_MEMORY: usize = 1 << 20;

/// Maximum bytes of one request.
pub(crate) const MAX_REQUEST_BYTES: usize = 16 << 20;

/// A window that is longer than any test.
pub(crate) const WINDOW: Policy = Policy::Window(Duration::from_secs(60));

/// A server that has no model yet.
pub(crate) fn app() -> Arc<App> {
    Arc::new(App {
        lifecycle: Lifecycle::default(),
        metrics: Arc::new(Metrics::new(None, None).unwrap()),
        request_memory: RequestMemory::new(NonZeroUsize::new(REQUEST_MEMORY).unwrap()),
        models: Arc::new(Repository::new(None)),
        at_rest_bytes: OnceLock::new(),
        max_request_bytes: MAX_REQUEST_BYTES,
        request_timeout: Duration::from_secs(5),
        cors: Cors::default(),
        page: false,
        preparation: Preparation::start(NonZeroUsize::MIN).unwrap(),
    })
}

/// A server that is ready, with batches of four rows. With a long window nothing runs before the batch is full or the
/// queue is closed. If a worker has to answer, the clock must not be paused: it would jump to the deadline of the
/// request while the thread of the worker runs.
pub(crate) fn ready_app(policy: Policy, max_queue_rows: usize) -> Arc<App> {
    serving(FakeBackend::classifier(), policy, max_queue_rows)
}

pub(crate) fn serving(backend: FakeBackend, policy: Policy, max_queue_rows: usize) -> Arc<App> {
    serving_batches(backend, policy, 4, max_queue_rows)
}

/// A server that is ready for requests of `rows` rows.
pub(crate) fn serving_rows(backend: FakeBackend, rows: usize) -> Arc<App> {
    serving_batches(backend, AT_ONCE, rows, rows)
}

fn serving_batches(
    backend: FakeBackend,
    policy: Policy,
    max_rows: usize,
    max_queue_rows: usize,
) -> Arc<App> {
    let app = app();
    let config = Config {
        sharing: springtide_batching::Sharing::Alone,
        policy,
        max_rows: NonZeroUsize::new(max_rows).unwrap(),
        max_queue_rows: NonZeroUsize::new(max_queue_rows).unwrap(),
        objective: None,
    };
    install(&app, MODEL, backend, config);
    app.lifecycle.ready();
    app
}

pub(crate) struct TestResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl TestResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn code(&self) -> (u16, Value) {
        (self.status, self.json()["error"]["code"].clone())
    }
}

pub(crate) async fn send(app: &Arc<App>, request: Request) -> TestResponse {
    let response = router(Arc::clone(app)).oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1_000_000).await.unwrap();
    TestResponse {
        status,
        headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

pub(crate) async fn get_path(app: &Arc<App>, path: &str) -> TestResponse {
    send(app, Request::get(path).body(Body::empty()).unwrap()).await
}

pub(crate) async fn predict(app: &Arc<App>, body: impl Into<Body>) -> TestResponse {
    send(app, Request::post("/predict").body(body.into()).unwrap()).await
}

pub(crate) async fn until_waiting(app: &App, rows: usize) {
    while app.models.default_model().unwrap().waiting_rows() != rows {
        tokio::task::yield_now().await;
    }
}
