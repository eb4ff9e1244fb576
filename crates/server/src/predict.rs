//! `POST /predict`: from rows to classes or numbers. `KServe`'s V1 ([`crate::v1`]) has the same requests in another form.

pub mod error;
pub mod response;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use springtide_open_inference::http::most_bytes_of_numbers;
use springtide_tasks::answer::Answer;
use springtide_tasks::request::FieldError;
use springtide_tasks::tabular::request::{Protocol, TableRequest, max_body_bytes, parse};
use springtide_tasks::tabular::{TabularModel, UnreadableOutputs};
use tokio::task::spawn_blocking;

use self::error::ApiError;
use self::response::PredictResponse;
use crate::app::App;
use crate::body::{self, BufferedBody, LONG_BODY_BYTES, ReadError};
use crate::metrics::{Call, Status};
use crate::models::{InferError, LookupError, Model};
use crate::v2::{ContentBounds, output_bytes, parse_bytes, run_bytes};

/// The answers to a request.
pub(crate) struct Predictions {
    pub(crate) answers: Vec<Answer>,
    /// Whether the request had a list of rows.
    pub(crate) list: bool,
    pub(crate) request_id: Option<String>,
    pub(crate) latency: Duration,
    /// Rows of the batch in which the request ran.
    pub(crate) batch_rows: usize,
}

/// Answers a request to the default model.
pub async fn predict(State(app): State<Arc<App>>, request: Request) -> Response {
    let model = app.models.default_model();
    respond(&app, model.map_err(ApiError::from), request).await
}

/// Answers a request to a model by its name.
pub async fn predict_named(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let model = match name {
        Ok(Path(name)) => find(&app, &name),
        Err(_not_text) => Err(ApiError::NotFound),
    };
    respond(&app, model, request).await
}

/// A model by its name.
///
/// # Errors
/// [`ApiError::Lookup`], and [`ApiError::Loading`] while the models aren't all known.
pub(crate) fn find(app: &App, name: &str) -> Result<Arc<Model>, ApiError> {
    app.models.find(name, None).map_err(|error| match error {
        LookupError::UnknownModel(_) if app.lifecycle.is_loading() => ApiError::Loading,
        error => ApiError::Lookup(error),
    })
}

async fn respond(app: &App, model: Result<Arc<Model>, ApiError>, request: Request) -> Response {
    let answered = counted(app, model, request, Protocol::Predict).await;
    match answered.and_then(PredictResponse::new) {
        Ok(response) => Json(response).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Answers a request, and counts it.
///
/// # Errors
/// [`ApiError`].
pub(crate) async fn counted(
    app: &App,
    model: Result<Arc<Model>, ApiError>,
    request: Request,
    protocol: Protocol,
) -> Result<Predictions, ApiError> {
    let _in_flight = app.lifecycle.enter();
    let series = match &model {
        Ok(model) => model.series(),
        Err(_) => app.metrics.of_no_model(),
    };
    let mut call = Call::arrival(Arc::clone(series));
    let answered = match model {
        Ok(model) => answer(app, &mut call, &model, request, protocol).await,
        Err(error) => Err(error),
    };
    call.end(
        answered
            .as_ref()
            .map_or_else(ApiError::status, |_| Status::Success),
    );
    answered
}

async fn answer(
    app: &App,
    call: &mut Call,
    model: &Arc<Model>,
    request: Request,
    protocol: Protocol,
) -> Result<Predictions, ApiError> {
    let (parts, body) = request.into_parts();
    let tabular = model
        .tabular()
        .map_err(|reason| ApiError::Unsupported(reason.clone()))?;
    let (parsed, mut reservation) =
        read(app, call, model, (&parts, body), (tabular, protocol)).await?;
    let TableRequest {
        inputs,
        rows,
        list,
        source,
        options,
    } = parsed;
    // Only the values are queued. Their text is several times as large.
    reservation
        .resize(run_bytes(&inputs))
        .map_err(ReadError::from)?;
    let unlike_signature = |error| {
        tracing::error!(%error, "the model takes other inputs than its table");
        InferError::Failed
    };
    let checked = model.check(inputs, Vec::new()).map_err(unlike_signature)?;
    call.accept();
    let deadline = call.arrived() + app.request_timeout;
    let inferred = model
        .infer(checked, deadline)
        .await
        .map_err(|error| match error {
            InferError::InvalidInput(problem) => ApiError::InvalidInput {
                field: source.name(),
                problem,
            },
            error => error.into(),
        })?;
    reservation
        .resize(output_bytes(&inferred))
        .map_err(ReadError::from)?;
    let answers = tabular.outputs.read(&inferred.views(), rows, &options);
    let answers = answers.map_err(|error| match error {
        UnreadableOutputs::NoProbabilities => {
            ApiError::from(FieldError::new("probabilities", error.to_string()))
        }
        UnreadableOutputs::Mismatch(mismatch) => {
            tracing::warn!(%mismatch, "can't read the outputs of a model");
            InferError::Failed.into()
        }
    })?;
    if let Some(row) = answers.iter().position(|answer| !answer.is_finite()) {
        let field = source.row(row, list);
        return Err(ApiError::NotFinite { field });
    }
    Ok(Predictions {
        answers,
        list,
        request_id: options.request_id,
        latency: call.arrived().elapsed(),
        // A model without batching ran this request alone.
        batch_rows: inferred.batch_rows.max(rows.get()),
    })
}

/// Reads and parses the body of a request.
async fn read(
    app: &App,
    call: &Call,
    model: &Arc<Model>,
    (parts, body): (&Parts, Body),
    (tabular, protocol): (&TabularModel, Protocol),
) -> Result<(TableRequest, crate::request_memory::Reservation), ApiError> {
    let limit = max_body_bytes(&tabular.table, model.max_predict_rows());
    let deadline = call.arrived() + app.request_timeout;
    let body = body::read(
        &app.request_memory,
        &parts.headers,
        body,
        limit,
        deadline.into(),
    );
    let BufferedBody {
        bytes,
        mut reservation,
    } = body.await?;
    let numbers = most_bytes_of_numbers(&bytes);
    let bounds = ContentBounds {
        bytes: bytes.len(),
        numbers,
        texts: numbers / size_of::<u64>(),
    };
    reservation
        .grow(parse_bytes(model.signature(), &bounds))
        .map_err(ReadError::from)?;
    let parsed = if bytes.len() > LONG_BODY_BYTES {
        let model = Arc::clone(model);
        let parsed = spawn_blocking(move || parse_for(&model, &bytes, protocol)).await;
        parsed.map_err(|_panicked| InferError::Failed)??
    } else {
        parse_for(model, &bytes, protocol)?
    };
    Ok((parsed, reservation))
}

fn parse_for(model: &Model, body: &Bytes, protocol: Protocol) -> Result<TableRequest, ApiError> {
    let tabular = model
        .tabular()
        .map_err(|reason| ApiError::Unsupported(reason.clone()))?;
    Ok(parse(
        body,
        &tabular.table,
        model.max_predict_rows(),
        protocol,
    )?)
}

#[cfg(test)]
mod tests;
