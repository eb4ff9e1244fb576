//! Requests to image models.
//!
//! The body is an image file, a form with files, or JSON with base64. Images are decoded on threads of their own, after
//! the memory for them is reserved. Each image is a row of its own for the batcher.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures::future::try_join_all;
use futures::stream;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use springtide_inference::Tensor;
use springtide_tasks::TaskModel;
use springtide_tasks::activation::Activation;
use springtide_tasks::image::request::{ImageRequest, MAX_BODY_BYTES, parse};
use springtide_tasks::image::{ImageModel, predictions};
use springtide_tasks::request::{FieldError, InvalidRequest, Options, Protocol};

use super::error::ApiError;
use super::predictions::Predictions;
use crate::app::App;
use crate::body::{self, BufferedBody, ReadError};
use crate::metrics::Call;
use crate::models::{InferError, InferenceOutput, Model};
use crate::v2::{output_bytes, run_bytes};

/// Content of a body.
enum Content {
    Json,
    File,
    /// A form, with the boundary of its parts.
    Form(String),
}

/// Answers a request.
///
/// # Errors
/// [`ApiError`].
pub(super) async fn answer(
    app: &App,
    call: &mut Call,
    (model, image): (&Arc<Model>, &ImageModel),
    (parts, body): (&Parts, Body),
    protocol: Protocol,
) -> Result<Predictions, ApiError> {
    let content = content(parts)?;
    let options = query_options(parts)?;
    let deadline = call.arrived() + app.request_timeout;
    let limit = match content {
        Content::File => image.max_bytes(),
        Content::Json | Content::Form(_) => MAX_BODY_BYTES,
    };
    let memory = &app.request_memory;
    let body = body::read(memory, &parts.headers, body, limit, deadline.into());
    let BufferedBody {
        bytes,
        mut reservation,
    } = body.await?;
    // The files that the body contains.
    reservation.grow(bytes.len()).map_err(ReadError::from)?;
    let request = match content {
        Content::Json => {
            let parse = move || Ok(parse(&bytes, protocol)?);
            app.preparation.run(parse).await?
        }
        Content::File => ImageRequest::new(vec![bytes.to_vec()], false, "image", options)?,
        Content::Form(boundary) => form(bytes, boundary, options).await?,
    };
    let request = Arc::new(request);
    let decoding = memory_of(image, &request)?;
    reservation.grow(decoding).map_err(ReadError::from)?;
    let tensors = try_join_all((0..request.images.len()).map(|position| {
        let (model, request) = (Arc::clone(model), Arc::clone(&request));
        app.preparation
            .run(move || prepare(&model, &request, position))
    }));
    let tensors = tensors.await?;
    reservation
        .resize(run_bytes(&tensors))
        .map_err(ReadError::from)?;
    call.accept();
    let runs = tensors
        .into_iter()
        .enumerate()
        .map(async |(position, tensor)| {
            let unlike_signature = |error| {
                tracing::error!(%error, "the model takes other inputs than its images give");
                InferError::Failed
            };
            let checked = model
                .check(vec![tensor], Vec::new())
                .map_err(unlike_signature)?;
            let inferred = model.infer(checked, deadline).await;
            inferred.map_err(|error| match error {
                InferError::InvalidInput(problem) => {
                    FieldError::new(request.row(position), format!("can't be run: {problem}"))
                        .into()
                }
                error => ApiError::from(error),
            })
        });
    let runs: Vec<InferenceOutput> = try_join_all(runs).await?;
    let outputs = runs.iter().map(output_bytes).sum();
    reservation.resize(outputs).map_err(ReadError::from)?;
    let batch_rows = runs
        .iter()
        .map(|run| run.batch_rows.max(1))
        .max()
        .unwrap_or(1);
    let mut answers = Vec::with_capacity(runs.len());
    for run in &runs {
        let scores = image.read(&run.views(), 1).map_err(|error| {
            tracing::warn!(%error, "can't read the outputs of an image model");
            InferError::Failed
        })?;
        let activation = image.activation().unwrap_or(Activation::Softmax);
        let classes = image.classes();
        answers.extend(predictions(classes, activation, scores, &request.options));
    }
    if let Some(position) = answers.iter().position(|answer| !answer.is_finite()) {
        let field = request.row(position);
        return Err(ApiError::NotFinite { field });
    }
    Ok(Predictions {
        answers,
        list: request.list,
        request_id: request.options.request_id.clone(),
        latency: call.arrived().elapsed(),
        batch_rows,
        tokens: 0,
    })
}

/// The content of a body, by its type. Clients that name none send JSON.
fn content(parts: &Parts) -> Result<Content, ApiError> {
    let Some(named) = parts.headers.get(CONTENT_TYPE) else {
        return Ok(Content::Json);
    };
    let named = named.to_str().unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if essence == "multipart/form-data" {
        let boundary = multer::parse_boundary(named);
        let boundary = boundary.map_err(|error| InvalidRequest::Malformed(error.to_string()))?;
        return Ok(Content::Form(boundary));
    }
    // curl names a form where its user names nothing.
    let is_file = essence.starts_with("image/") || essence == "application/octet-stream";
    Ok(if is_file {
        Content::File
    } else {
        Content::Json
    })
}

/// The options of a body that isn't JSON: parameters of the URL.
fn query_options(parts: &Parts) -> Result<Options, FieldError> {
    let query = parts.uri.query().unwrap_or_default();
    let fields: HashMap<String, String> = serde_urlencoded::from_str(query).unwrap_or_default();
    let mut options = Options::default();
    for (field, text) in fields {
        let value = match &*field {
            "probabilities" | "top_k" => serde_json::from_str(&text),
            _ => Ok(text.clone().into()),
        };
        options.set(&field, &value.unwrap_or_else(|_no_json| text.into()))?;
    }
    Ok(options)
}

/// The files of a form, in their order. Other fields are options.
async fn form(
    bytes: Bytes,
    boundary: String,
    mut options: Options,
) -> Result<ImageRequest, ApiError> {
    let malformed = |error: multer::Error| InvalidRequest::Malformed(error.to_string());
    let body = stream::iter([Ok::<_, Infallible>(bytes)]);
    let mut form = multer::Multipart::new(body, boundary);
    let mut images = Vec::new();
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_some() || field.content_type().is_some() {
            images.push(field.bytes().await.map_err(malformed)?.to_vec());
            continue;
        }
        let text = field.text().await.map_err(malformed)?;
        let value = match &*name {
            "probabilities" | "top_k" => serde_json::from_str(&text).unwrap_or(text.into()),
            _ => text.into(),
        };
        options.set(&name, &value)?;
    }
    let list = images.len() > 1;
    Ok(ImageRequest::new(images, list, "image", options)?)
}

/// Memory to decode all images, by their headers.
fn memory_of(image: &ImageModel, request: &ImageRequest) -> Result<usize, FieldError> {
    let of_one = |(position, bytes): (usize, &Vec<u8>)| {
        let header = image.dimensions(bytes);
        let memory = header.and_then(|header| image.memory(&header));
        memory.map_err(|error| FieldError::new(request.row(position), error.to_string()))
    };
    let mut sum = 0_u64;
    for bytes in request.images.iter().enumerate().map(of_one) {
        sum = sum.saturating_add(bytes?);
    }
    Ok(usize::try_from(sum).unwrap_or(usize::MAX))
}

fn prepare(model: &Model, request: &ImageRequest, position: usize) -> Result<Tensor, ApiError> {
    let (Ok(TaskModel::Image(image)), Some(bytes)) = (model.task(), request.images.get(position))
    else {
        // It was an image model before.
        return Err(InferError::Failed.into());
    };
    let tensor = image.decode_and_prepare(bytes);
    tensor.map_err(|error| FieldError::new(request.row(position), error.to_string()).into())
}
