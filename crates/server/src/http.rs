//! The HTTP interface.

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use springtide_batching::{Handle, Submission};
use springtide_contract::paths;
use springtide_inference::Backend;

use crate::body::BodyBudget;
use crate::error::ApiError;
use crate::lifecycle::{Lifecycle, Phase};
use crate::metrics::{self, Call, Dropped, Metrics, Status};
use crate::predictor::Predictor;
use crate::request::{self, Limits};
use crate::response::PredictResponse;

/// Requests with rows of the same length may share a batch.
pub type RowLength = NonZeroUsize;

/// A model that answers.
pub struct Model<B: Backend> {
    /// Where its requests are queued.
    pub queue: Handle<RowLength, Predictor<B>>,
    /// What its requests may have.
    pub limits: Limits,
}

/// What the handlers share.
pub struct App<B: Backend> {
    /// Where the server stands.
    pub lifecycle: Lifecycle,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The memory for bodies.
    pub bodies: BodyBudget,
    /// The model, once it is loaded.
    pub model: OnceLock<Model<B>>,
    /// Time after which a request is answered with 504.
    pub request_timeout: Duration,
}

/// The server's endpoints.
pub fn router<B: Backend>(app: Arc<App<B>>) -> Router {
    Router::new()
        .route(paths::PREDICT, post(predict::<B>))
        .route(paths::HEALTH, get(health))
        .route(paths::READY, get(ready::<B>))
        .route(paths::METRICS, get(serve_metrics::<B>))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(app)
}

async fn health() -> Response {
    status(StatusCode::OK, "ok")
}

async fn ready<B: Backend>(State(app): State<Arc<App<B>>>) -> Response {
    match app.lifecycle.phase() {
        Phase::Ready => status(StatusCode::OK, "ready"),
        Phase::Loading => ApiError::Loading.into_response(),
        Phase::Draining => ApiError::Draining.into_response(),
    }
}

fn status(code: StatusCode, status: &'static str) -> Response {
    (code, Json(serde_json::json!({ "status": status }))).into_response()
}

async fn serve_metrics<B: Backend>(State(app): State<Arc<App<B>>>) -> Response {
    let waiting_rows = app
        .model
        .get()
        .map_or(0, |model| model.queue.waiting_rows());
    match app.metrics.text(waiting_rows) {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn predict<B: Backend>(State(app): State<Arc<App<B>>>, request: Request) -> Response {
    let _in_flight = app.lifecycle.enter();
    let mut call = app.metrics.arrival();
    match answer(&app, &mut call, request).await {
        Ok(response) => {
            call.end(Status::Success);
            Json(response).into_response()
        }
        Err(error) => {
            call.end(error.status());
            error.into_response()
        }
    }
}

async fn answer<B: Backend>(
    app: &App<B>,
    call: &mut Call,
    request: Request,
) -> Result<PredictResponse, ApiError> {
    let model = app.model.get().ok_or(ApiError::Loading)?;
    let deadline = call.arrived() + app.request_timeout;
    let (parts, body) = request.into_parts();
    let limit = model.limits.max_body_bytes();
    let body = app
        .bodies
        .read(&parts.headers, body, limit, deadline.into())
        .await?;
    let request = request::parse(&body.bytes, model.limits)?;
    // The text is several times as large as its numbers, so it must not wait in the queue.
    drop(body);
    call.accept();
    let submission = Submission {
        signature: request.features.columns(),
        rows: request.features.rows(),
        deadline,
        input: request.features,
    };
    let answer = model.queue.submit(submission).await.map_err(|failure| {
        let error = ApiError::from_failure(&failure, model.limits.max_rows);
        match error {
            ApiError::QueueFull => app.metrics.dropped(Dropped::QueueFull),
            ApiError::Draining => app.metrics.dropped(Dropped::Draining),
            _ => {}
        }
        error
    })?;
    let latency = call.arrived().elapsed();
    PredictResponse::new(
        answer.output,
        request.list,
        latency,
        answer.batch_rows,
        request.request_id,
    )
}

#[cfg(test)]
mod tests;
