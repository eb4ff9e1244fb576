//! The Open Inference Protocol over HTTP, with Triton's extensions.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use axum::{BoxError, Json, Router};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use springtide_open_inference::grpc::message::ModelMetadataResponse;
use springtide_open_inference::http::{
    JSON_LENGTH_HEADER, most_bytes_of_numbers, parse_raw_request, parse_request, write_response,
};
use springtide_open_inference::{InferRequest, InvalidRequest, Limits};
use springtide_tasks::Description;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tower::{ServiceExt, service_fn};
use tower_http::compression::predicate::SizeAbove;
use tower_http::compression::{Compression, CompressionLevel};
use tower_http::decompression::{DecompressionBody, RequestDecompression};

use super::error::ProtocolError;
use super::{
    ContentBounds, find, index, model_config, model_metadata, parse_bytes, run, series,
    server_metadata, serving, statistics, version,
};
use crate::app::App;
use crate::body::{self, BufferedBody, LONG_BODY_BYTES, Undecodable};
use crate::lifecycle::Phase;
use crate::metrics::{Call, Status};
use crate::models::{InferError, Model};
use crate::request_memory::AlreadyCharged;

/// Maximum bytes of a request other than inference.
const MAX_SMALL_BYTES: usize = 64 * 1024;

/// Minimum bytes of a response that is compressed.
const LONG_RESPONSE_BYTES: u64 = 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
const JSON_LENGTH: HeaderName = HeaderName::from_static(JSON_LENGTH_HEADER);

type Shared = State<Arc<App>>;

/// The endpoints below `/v2`.
pub fn router() -> Router<Arc<App>> {
    let model = "/v2/models/{name}";
    let version = "/v2/models/{name}/versions/{version}";
    let at = |model: &str, rest: &str| format!("{model}{rest}");
    Router::new()
        .route("/v2", read(describe_server))
        .route("/v2/", read(describe_server))
        .merge(health_router())
        .route("/v2/models/stats", read(all_statistics))
        .route("/v2/repository/index", write(repository_index))
        .route("/v2/repository/models/{name}/load", write(read_only))
        .route("/v2/repository/models/{name}/unload", write(read_only))
        .route(model, read(describe_model))
        .route(version, read(describe_model))
        .route(&at(model, "/ready"), read(model_ready))
        .route(&at(version, "/ready"), read(model_ready))
        .route(&at(model, "/config"), read(configuration))
        .route(&at(version, "/config"), read(configuration))
        .route(&at(model, "/stats"), read(model_statistics))
        .route(&at(version, "/stats"), read(model_statistics))
        .route(&at(model, "/infer"), write(infer))
        .route(&at(version, "/infer"), write(infer))
        .route("/v2/{*rest}", any(async || ProtocolError::NotFound))
}

/// The endpoints of probes.
pub fn health_router() -> Router<Arc<App>> {
    Router::new()
        .route("/v2/health/live", read(live))
        .route("/v2/health/ready", read(ready))
}

fn read<T: 'static>(handler: impl Handler<T, Arc<App>>) -> MethodRouter<Arc<App>> {
    get(handler).fallback(async || ProtocolError::MethodNotAllowed)
}

fn write<T: 'static>(handler: impl Handler<T, Arc<App>>) -> MethodRouter<Arc<App>> {
    post(handler).fallback(async || ProtocolError::MethodNotAllowed)
}

/// The model and version in a path.
#[derive(Debug, Deserialize)]
struct ModelPath {
    name: String,
    #[serde(default)]
    version: String,
}

/// A path that isn't UTF-8 doesn't exist.
impl<S: Send + Sync> FromRequestParts<S> for ModelPath {
    type Rejection = ProtocolError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ProtocolError> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(named)| named)
            .map_err(|_not_text| ProtocolError::NotFound)
    }
}

impl ModelPath {
    fn find(&self, app: &App) -> Result<Arc<Model>, ProtocolError> {
        find(app, &self.name, version(&self.version))
    }
}

async fn describe_server() -> Json<impl Serialize> {
    Json(server_metadata())
}

async fn live(State(app): Shared) -> Result<Json<impl Serialize>, ProtocolError> {
    match app.models.stuck() {
        None => Ok(Json(json!({ "live": true }))),
        Some(reason) => Err(ProtocolError::Stuck(reason)),
    }
}

async fn ready(State(app): Shared) -> Result<Json<impl Serialize>, ProtocolError> {
    match app.lifecycle.phase() {
        Phase::Ready => Ok(Json(json!({ "ready": true }))),
        Phase::Loading => Err(ProtocolError::Loading),
        Phase::Draining => Err(ProtocolError::Draining),
    }
}

async fn describe_model(
    State(app): Shared,
    named: ModelPath,
) -> Result<Json<impl Serialize>, ProtocolError> {
    let model = named.find(&app)?;
    Ok(Json(DescribedModel {
        metadata: model_metadata(&app.models, &model),
        description: Description::of(model.task().ok()),
    }))
}

/// The metadata of the protocol, and the model's task.
#[derive(Serialize)]
struct DescribedModel {
    #[serde(flatten)]
    metadata: ModelMetadataResponse,
    #[serde(flatten)]
    description: Description,
}

async fn model_ready(
    State(app): Shared,
    named: ModelPath,
) -> Result<Json<impl Serialize>, ProtocolError> {
    let model = named.find(&app)?;
    Ok(Json(json!({ "name": model.name(), "ready": true })))
}

async fn configuration(
    State(app): Shared,
    named: ModelPath,
) -> Result<Json<impl Serialize>, ProtocolError> {
    let model = named.find(&app)?;
    Ok(Json(model_config(&model)))
}

async fn all_statistics(State(app): Shared) -> Json<impl Serialize> {
    Json(statistics(&app.models.serving()))
}

/// Of all serving versions if the path has none.
async fn model_statistics(
    State(app): Shared,
    named: ModelPath,
) -> Result<Json<impl Serialize>, ProtocolError> {
    let models = serving(&app, &named.name, &named.version)?;
    Ok(Json(statistics(&models)))
}

#[derive(Debug, Default, Deserialize)]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

async fn repository_index(
    State(app): Shared,
    request: Request,
) -> Result<Json<impl Serialize>, ProtocolError> {
    let (parts, body) = request.into_parts();
    let deadline = Instant::now() + app.request_timeout;
    let body = body::read(
        &app.request_memory,
        &parts.headers,
        body,
        MAX_SMALL_BYTES,
        deadline,
    )
    .await?;
    let IndexRequest { ready } = if body.bytes.is_empty() {
        IndexRequest::default()
    } else {
        serde_json::from_slice(&body.bytes)
            .map_err(|error| InvalidRequest::Invalid(format!("the JSON of the request: {error}")))?
    };
    Ok(Json(index(&app.models, ready)))
}

async fn read_only() -> ProtocolError {
    ProtocolError::ReadOnly
}

async fn infer(
    State(app): Shared,
    named: Result<ModelPath, ProtocolError>,
    mut request: Request,
) -> Response {
    name_encoding(request.headers_mut());
    let headers = request.headers();
    if !headers.contains_key(CONTENT_ENCODING) && !headers.contains_key(ACCEPT_ENCODING) {
        return counted(&app, &named, request).await;
    }
    let named = Arc::new(named);
    let plain = service_fn(move |request: Request<_>| {
        let (app, named) = (Arc::clone(&app), Arc::clone(&named));
        let request =
            request.map(|body: DecompressionBody<Body>| Body::new(body.map_err(undecodable)));
        async move { Ok::<_, Infallible>(counted(&app, &named, request).await) }
    });
    let plain = RequestDecompression::new(plain).pass_through_unaccepted(true);
    let encoded = Compression::new(plain)
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(LONG_RESPONSE_BYTES));
    match encoded.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// Normalizes the name of the content encoding for the decoder: names are case-insensitive, and gzip has an alias
/// (RFC 9110, section 8.4.1).
fn name_encoding(headers: &mut HeaderMap) {
    let Some(encoding) = headers.get_mut(CONTENT_ENCODING) else {
        return;
    };
    let name = encoding.as_bytes().trim_ascii().to_ascii_lowercase();
    let known = match &*name {
        b"gzip" | b"x-gzip" => "gzip",
        b"deflate" => "deflate",
        b"identity" => "identity",
        _ => return,
    };
    *encoding = HeaderValue::from_static(known);
}

/// Distinguishes a body that can't be decoded from one that failed.
fn undecodable(error: BoxError) -> BoxError {
    // An error of the connection is the error of the inner body.
    if error.is::<axum::Error>() {
        error
    } else {
        Undecodable.into()
    }
}

/// Answers a request, and counts it.
async fn counted(
    app: &App,
    named: &Result<ModelPath, ProtocolError>,
    request: Request,
) -> Response {
    let _in_flight = app.lifecycle.enter();
    let model = match named {
        Ok(named) => named.find(app),
        Err(error) => Err(error.clone()),
    };
    let mut call = Call::arrival(series(app, &model));
    match answer(app, model, &mut call, request).await {
        Ok(response) => {
            call.end(Status::Success);
            response
        }
        Err(error) => {
            call.end(error.status());
            error.into_response()
        }
    }
}

async fn answer(
    app: &App,
    model: Result<Arc<Model>, ProtocolError>,
    call: &mut Call,
    request: Request,
) -> Result<Response, ProtocolError> {
    let (parts, body) = request.into_parts();
    let (model, json_length) = check_head(model, &parts.headers)?;
    let limits = Limits::new(model.signature(), model.max_rows());
    let deadline = call.arrived() + app.request_timeout;
    let mut body = body::read(
        &app.request_memory,
        &parts.headers,
        body,
        limits.max_body_bytes(app.max_request_bytes),
        deadline.into(),
    )
    .await?;
    let json = json_length.unwrap_or(usize::MAX).min(body.bytes.len());
    let binary = body.bytes.len() - json;
    let numbers = most_bytes_of_numbers(&body.bytes[..json]);
    let bounds = ContentBounds {
        bytes: body.bytes.len(),
        numbers: numbers + binary,
        // In binary tensors, each text has a length of 4 bytes.
        texts: numbers / size_of::<u64>() + binary / 4,
    };
    body.reservation
        .grow(parse_bytes(model.signature(), &bounds))?;
    let BufferedBody { bytes, reservation } = body;
    let request = parse(bytes, json_length, limits, &model).await?;
    let result = run(&model, request, reservation, call, app.request_timeout).await?;
    let body = write_response(&result.response(&model)?)?;
    let content_type = match body.json_length {
        Some(_) => BINARY,
        None => JSON,
    };
    let reservation = app.request_memory.reserve(body.bytes.len())?;
    let bytes = reservation.attach(body.bytes.into());
    let mut response = ([(CONTENT_TYPE, content_type)], bytes).into_response();
    response.extensions_mut().insert(AlreadyCharged);
    if let Some(length) = body.json_length {
        let length = HeaderValue::from(length);
        response.headers_mut().insert(JSON_LENGTH, length);
    }
    Ok(response)
}

/// Gives the model, and the length of the JSON if a header has it.
fn check_head(
    model: Result<Arc<Model>, ProtocolError>,
    headers: &HeaderMap,
) -> Result<(Arc<Model>, Option<usize>), ProtocolError> {
    let model = model?;
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    if !encodings.all(|encoding| encoding == "identity") {
        return Err(ProtocolError::Encoding);
    }
    Ok((model, json_length(headers)?))
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>, ProtocolError> {
    let Some(value) = headers.get(JSON_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length
        .map(Some)
        .ok_or(ProtocolError::Header(JSON_LENGTH_HEADER))
}

async fn parse(
    body: Bytes,
    json_length: Option<usize>,
    limits: Limits,
    model: &Arc<Model>,
) -> Result<InferRequest, ProtocolError> {
    let is_long = body.len() > LONG_BODY_BYTES;
    let model = Arc::clone(model);
    let parse = move || match json_length {
        Some(0) => parse_raw_request(&body, model.signature()),
        _ => parse_request(&body, json_length, &limits),
    };
    if is_long {
        let parsed = spawn_blocking(parse).await;
        return Ok(parsed.map_err(|_panicked| InferError::Failed)??);
    }
    Ok(parse()?)
}

#[cfg(test)]
mod tests;
