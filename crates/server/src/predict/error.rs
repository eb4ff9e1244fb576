//! The errors of `/predict` and of the endpoints of health and status.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use springtide_contract::task::Task;
use springtide_contract::text::plain;
use springtide_tasks::NoTask;
use springtide_tasks::request::{FieldError, InvalidRequest};

use crate::body::ReadError;
use crate::metrics::{Rejected, Status};
use crate::models::{InferError, LookupError, MAX_MESSAGE};
use crate::request_memory::MemoryExhausted;

/// Seconds after which a rejected client may retry if no better estimate is known.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The error of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The body is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The outputs of the model for a row are not finite.
    #[error("the model gives no finite number for {field}: its values are too extreme")]
    NotFinite {
        /// The row.
        field: String,
    },
    /// The body is larger than allowed.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// Maximum bytes of a body.
        limit: usize,
    },
    /// The body failed before its end.
    #[error("the body could not be read to its end")]
    BodyIncomplete,
    /// The body wasn't received within the request timeout.
    #[error("the body did not arrive within the request timeout")]
    BodyTooSlow,
    /// Other requests use the memory for requests.
    #[error("the server is overloaded: it has no memory for this request at the moment")]
    NoRoomForBody,
    /// The path doesn't exist.
    #[error(
        "this path does not exist: predictions are at POST /predict and POST /v2/models/<name>/infer"
    )]
    NotFound,
    /// The path doesn't have the method.
    #[error("this path does not allow the method: predictions are at POST /predict")]
    MethodNotAllowed,
    /// No model serves yet.
    #[error("the model is being loaded")]
    Loading,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Draining,
    /// No model can run requests any more.
    #[error("{0}")]
    Stuck(String),
    /// Several models serve, and none is configured for this endpoint.
    #[error(
        "several models are served, and none is configured for /predict: use POST \
         /v2/models/<name>/infer, or set {variable} to the name of a model",
        variable = springtide_contract::env::MODEL_NAME
    )]
    SeveralModels,
    /// The request names a model that doesn't serve.
    #[error(transparent)]
    Lookup(LookupError),
    /// The model has no task that this endpoint serves.
    #[error(transparent)]
    Unsupported(NoTask),
    /// The model has another task than the endpoint.
    #[error(
        "the model's task is `{task}`, and this path is for models of the task `{expected}`: use POST /predict"
    )]
    OtherTask {
        /// The model's.
        task: Task,
        /// That of the endpoint.
        expected: Task,
    },
    /// The model rejects the values of a field.
    #[error("the model doesn't take the input: {problem}")]
    InvalidInput {
        /// The field with the values.
        field: &'static str,
        /// The problem.
        problem: String,
    },
    /// The model gave no result.
    #[error(transparent)]
    Infer(#[from] InferError),
}

#[derive(Serialize)]
struct Body {
    error: Details,
}

#[derive(Serialize)]
struct Details {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl ApiError {
    /// HTTP status, stable code of the JSON error and status in the metrics.
    const fn facts(&self) -> (StatusCode, &'static str, Status) {
        use StatusCode as Http;
        match self {
            Self::Invalid(InvalidRequest::Malformed(_)) => {
                (Http::BAD_REQUEST, "invalid_json", Status::Invalid)
            }
            Self::Invalid(InvalidRequest::Field(_))
            | Self::NotFinite { .. }
            | Self::InvalidInput { .. } => {
                (Http::UNPROCESSABLE_ENTITY, "invalid_field", Status::Invalid)
            }
            Self::BodyTooLarge { .. } => {
                (Http::PAYLOAD_TOO_LARGE, "body_too_large", Status::Invalid)
            }
            Self::BodyIncomplete => (Http::BAD_REQUEST, "body_incomplete", Status::Invalid),
            Self::BodyTooSlow => (Http::REQUEST_TIMEOUT, "body_too_slow", Status::Invalid),
            Self::NotFound => (Http::NOT_FOUND, "not_found", Status::Invalid),
            Self::MethodNotAllowed => (
                Http::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                Status::Invalid,
            ),
            Self::SeveralModels => (Http::NOT_FOUND, "several_models", Status::Invalid),
            Self::Lookup(LookupError::Unavailable { .. }) => (
                Http::SERVICE_UNAVAILABLE,
                "unavailable",
                Status::Rejected(Rejected::Loading),
            ),
            Self::Lookup(_) => (Http::NOT_FOUND, "unknown_model", Status::Invalid),
            Self::Unsupported(_) | Self::OtherTask { .. } => (
                Http::UNPROCESSABLE_ENTITY,
                "unsupported_model",
                Status::Invalid,
            ),
            Self::NoRoomForBody => (
                Http::TOO_MANY_REQUESTS,
                "no_room_for_body",
                Status::Rejected(Rejected::NoRoomForBody),
            ),
            Self::Loading => (
                Http::SERVICE_UNAVAILABLE,
                "loading",
                Status::Rejected(Rejected::Loading),
            ),
            Self::Draining => (
                Http::SERVICE_UNAVAILABLE,
                "draining",
                Status::Rejected(Rejected::Draining),
            ),
            Self::Stuck(_) => (Http::SERVICE_UNAVAILABLE, "stuck", Status::Error),
            Self::Infer(error) => match error {
                InferError::QueueFull { .. } => {
                    (Http::TOO_MANY_REQUESTS, "queue_full", error.status())
                }
                InferError::Overloaded { .. } => {
                    (Http::TOO_MANY_REQUESTS, "overloaded", error.status())
                }
                InferError::Draining => (Http::SERVICE_UNAVAILABLE, "draining", error.status()),
                InferError::TimedOut => (Http::GATEWAY_TIMEOUT, "timeout", error.status()),
                InferError::InvalidInput(_) => {
                    (Http::UNPROCESSABLE_ENTITY, "invalid_field", error.status())
                }
                InferError::Failed => (Http::INTERNAL_SERVER_ERROR, "run_failed", error.status()),
            },
        }
    }

    /// The status of the request in the metrics.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.facts().2
    }

    /// The stable code of the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.facts().1
    }

    /// The name of the invalid field.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid(InvalidRequest::Field(error)) => Some(&error.field),
            Self::NotFinite { field } => Some(field),
            Self::InvalidInput { field, .. } => Some(field),
            _ => None,
        }
    }

    /// The error of a run with the values of a field.
    #[must_use]
    pub(super) fn of_run(error: InferError, field: &'static str) -> Self {
        match error {
            InferError::InvalidInput(problem) => Self::InvalidInput { field, problem },
            error => error.into(),
        }
    }

    fn retry_after_seconds(&self) -> u64 {
        match self {
            Self::Infer(error) => error.retry_after_seconds(),
            _ => None,
        }
        .unwrap_or(RETRY_AFTER_SECONDS)
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        Self::Invalid(error.into())
    }
}

impl From<LookupError> for ApiError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Several => Self::SeveralModels,
            LookupError::NothingServes
            | LookupError::UnknownModel(_)
            | LookupError::UnknownVersion { .. }
            | LookupError::Unavailable { .. } => Self::Loading,
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge { limit } => Self::BodyTooLarge { limit },
            ReadError::MemoryExhausted(MemoryExhausted) => Self::NoRoomForBody,
            // This endpoint doesn't decode bodies.
            ReadError::Incomplete | ReadError::Corrupt => Self::BodyIncomplete,
            ReadError::TooSlow => Self::BodyTooSlow,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, _) = self.facts();
        let retry_after = self.retry_after_seconds();
        let field = self.field().map(ToOwned::to_owned);
        let body = Body {
            error: Details {
                code,
                message: plain(&self.to_string(), MAX_MESSAGE).into_owned(),
                field,
            },
        };
        let mut response = (status, Json(body)).into_response();
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::REQUEST_TIMEOUT
        ) {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(retry_after));
        }
        response
    }
}

#[cfg(test)]
mod tests;
