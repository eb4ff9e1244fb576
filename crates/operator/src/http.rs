//! Probes and metrics over HTTP.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::{
    metrics::Metrics,
    readiness::{Readiness, Stage},
};

/// What the endpoints tell.
#[derive(Clone)]
pub struct Endpoints {
    /// The operator's metrics.
    pub metrics: Metrics,
    /// How far this replica has got.
    pub readiness: Readiness,
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
    match endpoints.readiness.stage() {
        Stage::Candidate | Stage::Acting => (StatusCode::OK, "ok"),
        Stage::Starting => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the API server has not answered yet",
        ),
        Stage::Syncing => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not all ModelServices are known yet",
        ),
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
    async fn readiness_follows_the_stage_and_the_rest_does_not() {
        let readiness = Readiness::default();
        let router = router(Endpoints {
            metrics: Metrics::new().unwrap(),
            readiness: readiness.clone(),
        });
        for (stage, expected) in [
            (Stage::Starting, StatusCode::SERVICE_UNAVAILABLE),
            (Stage::Candidate, StatusCode::OK),
            (Stage::Syncing, StatusCode::SERVICE_UNAVAILABLE),
            (Stage::Acting, StatusCode::OK),
        ] {
            readiness.reach(stage);
            assert_eq!(status(&router, "/readyz").await, expected, "{stage:?}");
            assert_eq!(status(&router, "/healthz").await, StatusCode::OK);
            assert_eq!(status(&router, "/metrics").await, StatusCode::OK);
        }
        assert_eq!(status(&router, "/other").await, StatusCode::NOT_FOUND);
    }
}
