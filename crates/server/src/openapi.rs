//! `GET /openapi.json`: the HTTP endpoints in the format of `OpenAPI` 3.1, for generators of clients.
//!
//! The endpoints are those of [`operations::OPERATIONS`]. Their bodies are described in [`schemas`].

mod operations;
mod schema;
mod schemas;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use springtide_contract::paths;

use self::operations::{OPERATIONS, Operation, Request};
use self::schema::of;
use crate::app::App;

/// The description, which never changes while the server runs.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));

/// The endpoint.
pub fn router() -> Router<Arc<App>> {
    Router::new().route(paths::OPENAPI, get(serve))
}

async fn serve() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone()).into_response()
}

/// The description of all endpoints.
fn document() -> Value {
    let mut by_path: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let path = by_path
            .entry(operation.path)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(methods) = path {
            methods.insert(operation.method.to_owned(), described(operation));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Springtide",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A server for ONNX models. The same models are served over gRPC, as the Open Inference Protocol.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "tags": operations::TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": by_path,
        "components": { "schemas": schemas::all() },
    })
}

fn described(operation: &Operation) -> Value {
    let mut parameters: Vec<Value> = path_parameters(operation.path)
        .map(path_parameter)
        .collect();
    let mut described = json!({
        "tags": [operation.tag],
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses(operation),
    });
    match operation.request {
        Request::None => {}
        Request::Json { schema, required } => {
            described["requestBody"] = json!({
                "required": required,
                "content": { "application/json": { "schema": of(schema) } },
            });
        }
        Request::Predict => {
            parameters.extend(image_options());
            described["requestBody"] = json!({ "required": true, "content": predict_content() });
        }
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    described
}

/// Names of the parameters in a path.
fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('{').skip(1);
    parts.filter_map(|part| part.split_once('}').map(|(name, _)| name))
}

fn path_parameter(name: &str) -> Value {
    let (description, example) = match name {
        "version" => ("version of the model, a positive integer", "1"),
        _ => ("name of the model", "iris"),
    };
    json!({
        "name": name, "in": "path", "required": true, "description": description,
        "schema": { "type": "string", "examples": [example] },
    })
}

/// Options of a request whose body is an image file: JSON has them as fields.
fn image_options() -> Vec<Value> {
    let option = |name: &str, schema: Value| {
        let description = format!("the field `{name}`, for image files");
        json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
    };
    vec![
        option("probabilities", json!({ "type": "boolean" })),
        option("top_k", json!({ "type": "integer", "minimum": 1 })),
        option("request_id", json!({ "type": "string" })),
    ]
}

fn predict_content() -> Value {
    let mut content = Map::new();
    let json_body = json!({ "schema": of("PredictRequest") });
    content.insert("application/json".to_owned(), json_body);
    for media_type in ["image/jpeg", "image/png", "image/webp"] {
        content.insert(media_type.to_owned(), json!({}));
    }
    let form = json!({ "schema": of("ImageForm") });
    content.insert("multipart/form-data".to_owned(), form);
    content.into()
}

fn responses(operation: &Operation) -> Value {
    let media_type = operation.media_type;
    let content = match operation.answer {
        Some(schema) => json!({ media_type: { "schema": of(schema) } }),
        None => json!({ media_type: { "schema": { "type": "string" } } }),
    };
    let mut responses = Map::new();
    let success = json!({ "description": "success", "content": content });
    responses.insert("200".to_owned(), success);
    for status in operation.errors.statuses() {
        let (description, may_retry) = operations::meaning(*status);
        let mut error = json!({
            "description": description,
            "content": { "application/json": { "schema": of(operation.errors.schema()) } },
        });
        if may_retry {
            error["headers"] = json!({ "Retry-After": {
                "description": "seconds after which to try again",
                "schema": { "type": "integer", "minimum": 1 },
            } });
        }
        responses.insert(status.to_string(), error);
    }
    responses.into()
}

#[cfg(test)]
mod tests;
