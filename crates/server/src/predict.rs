//! `POST /predict`, the endpoint for classifiers of the contract: from features to class and confidence.

pub mod error;
pub mod request;
pub mod response;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use springtide_inference::Classifier;
use springtide_open_inference::http::most_bytes_of_numbers;
use tokio::task::spawn_blocking;

use self::error::ApiError;
use self::request::{PredictLimits, PredictRequest};
use self::response::PredictResponse;
use crate::app::App;
use crate::body::{self, BufferedBody, LONG_BODY_BYTES, ReadError};
use crate::metrics::{Call, Status};
use crate::models::{InferError, LookupError, Model};
use crate::v2::{ContentBounds, output_bytes, parse_bytes, run_bytes};

/// Answers a request.
pub async fn predict(State(app): State<Arc<App>>, request: Request) -> Response {
    let _in_flight = app.lifecycle.enter();
    let model = app.models.default_model();
    let series = match &model {
        Ok(model) => model.series(),
        Err(_) => app.metrics.of_no_model(),
    };
    let mut call = Call::arrival(Arc::clone(series));
    match answer(&app, &mut call, model, request).await {
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

async fn answer(
    app: &App,
    call: &mut Call,
    model: Result<Arc<Model>, LookupError>,
    request: Request,
) -> Result<PredictResponse, ApiError> {
    let (parts, body) = request.into_parts();
    let (model, classifier) = classified(&model)?;
    let limits = PredictLimits {
        features: classifier.features(),
        max_rows: model.max_predict_rows(),
    };
    let deadline = call.arrived() + app.request_timeout;
    let body = body::read(
        &app.request_memory,
        &parts.headers,
        body,
        limits.max_body_bytes(),
        deadline.into(),
    )
    .await?;
    let BufferedBody {
        bytes,
        mut reservation,
    } = body;
    let bounds = ContentBounds {
        bytes: bytes.len(),
        numbers: most_bytes_of_numbers(&bytes),
        texts: 0,
    };
    reservation
        .grow(parse_bytes(model.signature(), &bounds))
        .map_err(ReadError::from)?;
    let request = parse(bytes, limits).await?;
    // Only the numbers are queued. Their text is several times as large.
    reservation
        .resize(run_bytes([&request.features]))
        .map_err(ReadError::from)?;
    let unlike_signature = |error| {
        tracing::error!(%error, "the model takes other inputs than its classifier");
        InferError::Failed
    };
    let checked = model
        .check(vec![request.features], Vec::new())
        .map_err(unlike_signature)?;
    call.accept();
    let inferred = model.infer(checked, deadline).await?;
    reservation
        .resize(output_bytes(&inferred))
        .map_err(ReadError::from)?;
    let predictions = classifier
        .predictions(&inferred.views(), request.rows)
        .map_err(|error| {
            tracing::warn!(%error, "can't read the outputs of a classifier");
            InferError::Failed
        })?;
    let latency = call.arrived().elapsed();
    // A model without batching ran this request alone.
    let batch_rows = inferred.batch_rows.max(request.rows.get());
    PredictResponse::new(
        predictions,
        request.list,
        latency,
        batch_rows,
        request.request_id,
    )
}

fn classified(model: &Result<Arc<Model>, LookupError>) -> Result<(&Model, &Classifier), ApiError> {
    let model = model.as_ref().map_err(Clone::clone)?;
    let classifier = model.classifier();
    let classifier = classifier.map_err(|reason| ApiError::Unsupported(reason.clone()))?;
    Ok((model, classifier))
}

async fn parse(body: Bytes, limits: PredictLimits) -> Result<PredictRequest, ApiError> {
    if body.len() > LONG_BODY_BYTES {
        let parsed = spawn_blocking(move || request::parse(&body, limits)).await;
        return Ok(parsed.map_err(|_panicked| InferError::Failed)??);
    }
    Ok(request::parse(&body, limits)?)
}

#[cfg(test)]
mod tests;
