//! Probes and metrics over HTTP.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::watch};

use crate::metrics::Metrics;

/// What the endpoints tell.
#[derive(Clone)]
pub struct Endpoints {
    /// The operator's metrics.
    pub metrics: Metrics,
    /// True once the API server has answered. A replica that waits for the lease is ready too, so that
    /// a rollout of several replicas goes on.
    pub ready: watch::Receiver<bool>,
}

/// The routes: `/healthz` (the process answers), `/readyz` and `/metrics`.
pub fn router(endpoints: Endpoints) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(endpoints)
}

/// Serves the routes for as long as the process runs.
///
/// # Errors
///
/// Where the listener fails.
pub async fn serve(listener: TcpListener, endpoints: Endpoints) -> std::io::Result<()> {
    axum::serve(listener, router(endpoints)).await
}

async fn ready(State(endpoints): State<Endpoints>) -> (StatusCode, &'static str) {
    if *endpoints.ready.borrow() {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the API server has not answered yet",
        )
    }
}

async fn metrics(State(endpoints): State<Endpoints>) -> Response {
    match endpoints.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    async fn status(router: &Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn ready_only_after_the_api_server_has_answered() {
        let (contact, ready) = watch::channel(false);
        let router = router(Endpoints {
            metrics: Metrics::new().unwrap(),
            ready,
        });
        assert_eq!(status(&router, "/healthz").await, StatusCode::OK);
        assert_eq!(
            status(&router, "/readyz").await,
            StatusCode::SERVICE_UNAVAILABLE
        );
        contact.send_replace(true);
        assert_eq!(status(&router, "/readyz").await, StatusCode::OK);
        assert_eq!(status(&router, "/metrics").await, StatusCode::OK);
        assert_eq!(status(&router, "/other").await, StatusCode::NOT_FOUND);
    }
}
