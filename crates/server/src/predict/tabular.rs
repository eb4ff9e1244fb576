//! Requests to tabular models.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use http::request::Parts;
use springtide_open_inference::http::most_bytes_of_numbers;
use springtide_tasks::TaskModel;
use springtide_tasks::request::{FieldError, Protocol};
use springtide_tasks::tabular::request::{TableRequest, max_body_bytes, parse};
use springtide_tasks::tabular::{Table, TabularModel, UnreadableOutputs};
use tokio::task::spawn_blocking;

use super::error::ApiError;
use super::predictions::Predictions;
use crate::app::App;
use crate::body::{self, BufferedBody, LONG_BODY_BYTES, ReadError};
use crate::metrics::Call;
use crate::models::{InferError, Model};
use crate::request_memory::Reservation;
use crate::v2::{ContentBounds, output_bytes, parse_bytes, run_bytes};

/// Answers a request.
///
/// # Errors
/// [`ApiError`].
pub(super) async fn answer(
    app: &App,
    call: &mut Call,
    (model, tabular): (&Arc<Model>, &TabularModel),
    (parts, body): (&Parts, Body),
    protocol: Protocol,
) -> Result<Predictions, ApiError> {
    let (parsed, mut reservation) =
        read(app, call, (model, &tabular.table), (parts, body), protocol).await?;
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
    let inferred = model.infer(checked, deadline).await;
    let inferred = inferred.map_err(|error| ApiError::of_run(error, source.name()))?;
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
        tokens: 0,
    })
}

/// Reads and parses the body of a request.
async fn read(
    app: &App,
    call: &Call,
    (model, table): (&Arc<Model>, &Table),
    (parts, body): (&Parts, Body),
    protocol: Protocol,
) -> Result<(TableRequest, Reservation), ApiError> {
    let limit = max_body_bytes(table, model.max_predict_rows());
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
        let parsed = spawn_blocking(move || parse_long(&model, &bytes, protocol)).await;
        parsed.map_err(|_panicked| InferError::Failed)??
    } else {
        parse(&bytes, table, model.max_predict_rows(), protocol)?
    };
    Ok((parsed, reservation))
}

fn parse_long(model: &Model, body: &Bytes, protocol: Protocol) -> Result<TableRequest, ApiError> {
    match model.task() {
        Ok(TaskModel::Tabular(tabular)) => {
            let max_rows = model.max_predict_rows();
            Ok(parse(body, &tabular.table, max_rows, protocol)?)
        }
        // It was tabular before.
        Ok(TaskModel::Text(_) | TaskModel::Image(_)) | Err(_) => Err(InferError::Failed.into()),
    }
}
