//! Probes and metrics over HTTP.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::{
    access::{Access, Denied},
    metrics::Metrics,
    readiness::{Readiness, Stage},
};

/// State of the endpoints.
#[derive(Clone)]
pub struct Endpoints {
    /// The operator's metrics.
    pub metrics: Metrics,
    /// The stage of this replica.
    pub readiness: Readiness,
    /// Authentication of readers of the metrics. `None`: every client may read them. Probes need no authentication.
    pub access: Option<Arc<Access>>,
}

/// The routes: `/healthz` (the process responds), `/readyz` and `/metrics`.
pub fn router(endpoints: Endpoints) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(endpoints)
}

/// Serves the routes while the process runs.
///
/// # Errors
///
/// If the listener fails.
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

async fn metrics(
    State(endpoints): State<Endpoints>,
    headers: HeaderMap,
) -> Result<Response, Denied> {
    if let Some(access) = &endpoints.access {
        access.check(&headers).await?;
    }
    Ok(match endpoints.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    })
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use springtide_testkit::{FakeApi, Fault};
    use tower::ServiceExt;

    use super::*;

    async fn status(router: &Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn only_readiness_depends_on_the_stage() {
        let readiness = Readiness::default();
        let router = router(Endpoints {
            metrics: Metrics::new().unwrap(),
            readiness: readiness.clone(),
            access: None,
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

    #[tokio::test]
    async fn metrics_can_require_authentication_and_probes_never_do() {
        let fake = FakeApi::new();
        fake.add_token("good", "prometheus");
        fake.add_token("other", "other-user");
        fake.allow("prometheus", "get", "/metrics");
        let readiness = Readiness::default();
        readiness.reach(Stage::Acting);
        let router = router(Endpoints {
            metrics: Metrics::new().unwrap(),
            readiness,
            access: Some(Arc::new(Access::new(fake.client()))),
        });
        for probe in ["/healthz", "/readyz"] {
            assert_eq!(status(&router, probe).await, StatusCode::OK, "{probe}");
        }
        let ask = async |token: Option<&str>| {
            let mut request = Request::get("/metrics");
            if let Some(token) = token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let request = request.body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let scheme = response.headers().contains_key(header::WWW_AUTHENTICATE);
            assert_eq!(scheme, status == StatusCode::UNAUTHORIZED);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
        };
        for (token, expected, says) in [
            (None, 401, "Authorization: Bearer"),
            (Some("made-up"), 401, "Authorization: Bearer"),
            (Some("other"), 403, "bind it to the ClusterRole"),
            (Some("good"), 200, "springtide_operator_leader"),
        ] {
            let (status, body) = ask(token).await;
            assert_eq!(status, expected, "{token:?}");
            assert!(body.contains(says), "{token:?}: {body}");
            let has_metrics = body.contains("springtide_operator_leader");
            assert_eq!(has_metrics, expected == 200, "{token:?}");
        }
        fake.inject(1, Fault::Refused);
        let (status, body) = ask(Some("other")).await;
        assert_eq!(status, 503, "{body}");
    }
}
