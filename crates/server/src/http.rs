//! The routes of the HTTP and gRPC endpoints, health checks, status and metrics.

pub mod cors;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use springtide_contract::batching::{MemoryStatus, ModelStatus, ServerStatus};
use springtide_contract::paths;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::app::App;
use crate::lifecycle::Phase;
use crate::memory;
use crate::metrics::{self, Call};
use crate::net::RejectedRequest;
use crate::predict::error::ApiError;
use crate::predict::{predict, predict_named};
use crate::request_memory::MemoryExhausted;
use crate::v2::ProtocolError;
use crate::{grpc, openai, openapi, page, v1, v2};

/// Minimum bytes of metrics that are compressed.
const LONG_METRICS_BYTES: u64 = 1024;

/// All endpoints of the server.
pub fn router(app: Arc<App>) -> Router {
    let endpoints = Router::new()
        .route(paths::PREDICT, post(predict))
        .route(paths::PREDICT_NAMED, post(predict_named))
        .merge(v1::router())
        .merge(openai::router())
        .merge(openapi::router())
        .merge(page::router(app.page))
        .merge(health_routes())
        .route(paths::STATUS, get(server_status))
        .merge(v2::http::router())
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(Arc::clone(&app));
    app.cors.layered(endpoints).merge(grpc::routes(app))
}

/// The endpoints of probes and metrics only.
pub fn health_router(app: Arc<App>) -> Router {
    health_routes()
        .merge(v2::http::health_router())
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(app)
}

fn health_routes() -> Router<Arc<App>> {
    // Compression reduces the text of many series to a tenth.
    let compressed = CompressionLayer::new().compress_when(SizeAbove::new(LONG_METRICS_BYTES));
    Router::new()
        .route(paths::HEALTH, get(health))
        .route(paths::READY, get(ready))
        .route(paths::METRICS, get(serve_metrics).layer(compressed))
}

/// Answers a request that finds no memory, and counts it if it is an inference request.
#[must_use]
pub fn reject(app: &App, request: &RejectedRequest) -> Response {
    let path = request.uri.path();
    let is_inference = path.starts_with(paths::PREDICT)
        || path.ends_with(":predict")
        || path.ends_with("/embeddings")
        || path.ends_with("/rerank")
        || path.ends_with("/infer")
        || path.ends_with("Infer");
    if is_inference {
        let call = Call::arrival(Arc::clone(app.metrics.of_no_model()));
        call.end(ApiError::NoRoomForBody.status());
    }
    let error = ProtocolError::from(MemoryExhausted);
    if request.is_grpc {
        grpc::grpc_status(&error).into_http()
    } else if path.starts_with("/v2") && !path.ends_with("/rerank") {
        error.into_response()
    } else if path.starts_with("/v1/models") {
        v1::Error(ApiError::NoRoomForBody).into_response()
    } else {
        ApiError::NoRoomForBody.into_response()
    }
}

async fn health(State(app): State<Arc<App>>) -> Response {
    match app.models.stuck() {
        None => status(StatusCode::OK, "ok"),
        Some(reason) => ApiError::Stuck(reason).into_response(),
    }
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.lifecycle.phase() {
        Phase::Ready => status(StatusCode::OK, "ready"),
        Phase::Loading => ApiError::Loading.into_response(),
        Phase::Draining => ApiError::Draining.into_response(),
    }
}

/// The status that the operator reads.
async fn server_status(State(app): State<Arc<App>>) -> Json<ServerStatus> {
    let serving = app.models.serving();
    let bytes = |bytes| u64::try_from(bytes).unwrap_or(u64::MAX);
    let models = serving.iter().map(|model| ModelStatus {
        name: model.name().to_owned(),
        version: model.version().to_owned(),
        sha256: model.info().sha256.clone(),
        batching: model.batching().clone(),
    });
    Json(ServerStatus {
        models: models.collect(),
        memory: Some(MemoryStatus {
            limit_bytes: memory::limit(),
            requests_bytes: bytes(app.request_memory.total()),
            request_bytes: bytes(app.max_request_bytes),
            at_rest_bytes: app.at_rest_bytes.get().copied(),
        }),
    })
}

fn status(code: StatusCode, status: &'static str) -> Response {
    (code, Json(serde_json::json!({ "status": status }))).into_response()
}

async fn serve_metrics(State(app): State<Arc<App>>) -> Response {
    match app.metrics.scrape(|| app.models.snapshot()) {
        Ok(text) => {
            // A compressed response needs this much and a little more.
            let Ok(reservation) = app.request_memory.reserve(text.len()) else {
                return ApiError::NoRoomForBody.into_response();
            };
            let text = reservation.attach(text);
            ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "can't write the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
