//! Requests to text models.
//!
//! Texts are tokenized on threads of their own. Texts of near length run together: they are padded to lengths that
//! depend on each text alone, and those of one length are one request of the batcher.

use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::body::Body;
use futures::future::try_join_all;
use http::request::Parts;
use springtide_inference::Tensor;
use springtide_tasks::TaskModel;
use springtide_tasks::answer::Answer;
use springtide_tasks::request::{Options, Protocol};
use springtide_tasks::text::answer::OutputError;
use springtide_tasks::text::request::{TextRequest, max_body_bytes, parse};
use springtide_tasks::text::{EncodedText, Group, TextModel, group_by_padded_length, predictions};

use super::error::ApiError;
use super::predictions::Predictions;
use crate::app::App;
use crate::body::{self, BufferedBody, ReadError};
use crate::metrics::Call;
use crate::models::{InferError, InferenceOutput, Model};
use crate::request_memory::Reservation;
use crate::v2::{output_bytes, run_bytes};

/// Bytes of a text in memory for each byte of the body: the JSON value, and tokens with their places.
const BYTES_PER_BYTE: usize = 8;

/// Maximum number of texts in a run of a model whose requests run alone.
const MAX_TEXTS_ALONE: usize = 32;

/// A tokenized request.
struct Tokenized {
    request: TextRequest,
    parts: Vec<Part>,
}

/// The texts of one padded length, which run together.
struct Part {
    inputs: Vec<Tensor>,
    /// Position of each text in the request.
    positions: Vec<usize>,
    texts: Vec<EncodedText>,
}

/// Answers a request with the body of a protocol.
///
/// # Errors
/// [`ApiError`].
pub(super) async fn answer(
    app: &App,
    call: &mut Call,
    (model, text): (&Arc<Model>, &TextModel),
    (parts, body): (&Parts, Body),
    protocol: Protocol,
) -> Result<Predictions, ApiError> {
    let deadline = call.arrived() + app.request_timeout;
    let limit = max_body_bytes(text.max_bytes());
    let memory = &app.request_memory;
    let body = body::read(memory, &parts.headers, body, limit, deadline.into());
    let BufferedBody { bytes, reservation } = body.await?;
    let parse = move || Ok(parse(&bytes, protocol)?);
    run_texts(app, call, model, reservation, parse).await
}

/// Runs the texts that `parse` gives. `reservation` is the memory of the body.
///
/// # Errors
/// [`ApiError`].
pub(crate) async fn run_texts(
    app: &App,
    call: &mut Call,
    model: &Arc<Model>,
    mut reservation: Reservation,
    parse: impl FnOnce() -> Result<TextRequest, ApiError> + Send + 'static,
) -> Result<Predictions, ApiError> {
    let deadline = call.arrived() + app.request_timeout;
    reservation
        .grow(reservation.bytes().saturating_mul(BYTES_PER_BYTE))
        .map_err(ReadError::from)?;
    let tokenized = {
        let model = Arc::clone(model);
        let tokenized = move || tokenize(&model, parse()?);
        app.preparation.run(tokenized).await?
    };
    let Tokenized { request, parts } = tokenized;
    let inputs = parts.iter().flat_map(|part| &part.inputs);
    reservation
        .resize(run_bytes(inputs))
        .map_err(ReadError::from)?;
    call.accept();
    let runs = parts.into_iter().map(async |part| {
        let unlike_signature = |error| {
            tracing::error!(%error, "the model takes other inputs than its tokenizer gives");
            InferError::Failed
        };
        let checked = model.check(part.inputs, Vec::new());
        let checked = checked.map_err(unlike_signature)?;
        let inferred = model.infer(checked, deadline).await;
        let inferred = inferred.map_err(|error| ApiError::of_run(error, "text"))?;
        Ok::<_, ApiError>((part.positions, part.texts, inferred))
    });
    let runs = try_join_all(runs).await?;
    let outputs = runs.iter().map(|(.., inferred)| output_bytes(inferred));
    reservation.resize(outputs.sum()).map_err(ReadError::from)?;
    let batch_rows = runs
        .iter()
        .map(|(_, texts, inferred)| inferred.batch_rows.max(texts.len()));
    let batch_rows = batch_rows.max().unwrap_or(0);
    let tokens = runs
        .iter()
        .flat_map(|(_, texts, _)| texts)
        .map(EncodedText::tokens)
        .sum();
    let (list, options) = (request.list, request.options.clone());
    let request_id = options.request_id.clone();
    let answers = {
        let model = Arc::clone(model);
        let read = move || read_outputs(&model, &request, runs, &options);
        app.preparation.run(read).await?
    };
    Ok(Predictions {
        answers,
        list,
        request_id,
        latency: call.arrived().elapsed(),
        batch_rows,
        tokens,
    })
}

/// The text model of a model.
fn text_model(model: &Model) -> Result<&TextModel, ApiError> {
    match model.task() {
        Ok(TaskModel::Text(text)) => Ok(text),
        // It was a text model before.
        Ok(TaskModel::Tabular(_) | TaskModel::Image(_)) | Err(_) => Err(InferError::Failed.into()),
    }
}

fn tokenize(model: &Model, request: TextRequest) -> Result<Tokenized, ApiError> {
    let text = text_model(model)?;
    let encoded = text.encode(&request.inputs());
    let encoded = encoded.map_err(|error| request.field_error(&error))?;
    let max_rows = [model.max_rows().map(NonZeroUsize::get), text.max_rows()];
    let max_rows = max_rows
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(MAX_TEXTS_ALONE);
    let groups = group_by_padded_length(encoded).into_iter();
    let parts = groups
        .flat_map(|group| chunks(group, max_rows))
        .map(|(positions, texts)| {
            let inputs = text.tensors(&texts).map_err(|error| {
                tracing::error!(%error, "texts of one length give no tensors");
                InferError::Failed
            })?;
            Ok::<_, ApiError>(Part {
                inputs,
                positions,
                texts,
            })
        });
    let parts = parts.collect::<Result<_, _>>()?;
    Ok(Tokenized { request, parts })
}

/// The texts of a group with their positions, in runs of at most `max_rows`.
fn chunks(group: Group, max_rows: usize) -> Vec<(Vec<usize>, Vec<EncodedText>)> {
    let Group {
        mut positions,
        mut texts,
        ..
    } = group;
    let mut chunks = Vec::new();
    while texts.len() > max_rows {
        let rest = (positions.split_off(max_rows), texts.split_off(max_rows));
        chunks.push((positions, texts));
        (positions, texts) = rest;
    }
    chunks.push((positions, texts));
    chunks
}

fn read_outputs(
    model: &Model,
    request: &TextRequest,
    runs: Vec<(Vec<usize>, Vec<EncodedText>, InferenceOutput)>,
    options: &Options,
) -> Result<Vec<Answer>, ApiError> {
    let text = text_model(model)?;
    let mut answers: Vec<Option<Answer>> = vec![None; request.texts.len()];
    for (positions, texts, inferred) in runs {
        let read = text
            .read(&inferred.views(), &texts)
            .map_err(|error| match error {
                OutputError::NotFinite { position } => {
                    let position = positions.get(position).copied().unwrap_or_default();
                    let field = request.row(position);
                    ApiError::NotFinite { field }
                }
                error => {
                    tracing::warn!(%error, "can't read the outputs of a text model");
                    InferError::Failed.into()
                }
            })?;
        let read = predictions(text.reading(), read, &texts, options);
        for (position, answer) in positions.into_iter().zip(read) {
            if let Some(place) = answers.get_mut(position) {
                *place = Some(answer);
            }
        }
    }
    let answers: Option<Vec<Answer>> = answers.into_iter().collect();
    answers.ok_or_else(|| InferError::Failed.into())
}
