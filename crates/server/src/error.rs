//! What a client is told when its request has no prediction.

use std::num::NonZeroUsize;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use springtide_batching::{Failure, Rejection};

use crate::body::{NoRoom, ReadError};
use crate::metrics::Status;
use crate::predictor::RunFailed;
use crate::request::InvalidRequest;

/// Seconds after which a refused client may try again. Queues turn over in fractions of a second,
/// and the header knows whole seconds only.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Why a request has no prediction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The body isn't what it should be.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The model's numbers for a row are not finite.
    #[error("the model gives no finite number for {field}: its values are too extreme")]
    NotFinite {
        /// The row.
        field: String,
    },
    /// The body is larger than allowed.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// Most bytes of a body.
        limit: usize,
    },
    /// The body broke off.
    #[error("the body could not be read to its end")]
    BodyIncomplete,
    /// The body didn't come within the request's time.
    #[error("the body did not arrive within the request timeout")]
    BodyTooSlow,
    /// The bodies of other requests take the memory for bodies.
    #[error("the server is overloaded: it has no memory for this body now")]
    NoRoomForBody,
    /// No such path.
    #[error("there is nothing here: predictions are at POST /predict")]
    NotFound,
    /// The path exists, the method doesn't.
    #[error("this method is not allowed here: predictions are at POST /predict")]
    MethodNotAllowed,
    /// The queue is full.
    #[error("the server is overloaded: its queue is full")]
    QueueFull,
    /// The model isn't loaded yet.
    #[error("the model is being loaded")]
    Loading,
    /// The server ends.
    #[error("the server is shutting down")]
    Draining,
    /// The request's time is up.
    #[error("the prediction was not ready within the request timeout")]
    TimedOut,
    /// The model failed on this request.
    #[error("the model failed on this request")]
    RunFailed,
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
    /// HTTP status, stable code of the JSON error and how the request counts.
    const fn facts(&self) -> (StatusCode, &'static str, Status) {
        use StatusCode as Http;
        match self {
            Self::Invalid(InvalidRequest::Malformed(_)) => {
                (Http::BAD_REQUEST, "invalid_json", Status::Invalid)
            }
            Self::Invalid(InvalidRequest::Field(_)) | Self::NotFinite { .. } => {
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
            Self::NoRoomForBody => (
                Http::TOO_MANY_REQUESTS,
                "no_room_for_body",
                Status::Rejected,
            ),
            Self::QueueFull => (Http::TOO_MANY_REQUESTS, "queue_full", Status::Rejected),
            Self::Loading => (Http::SERVICE_UNAVAILABLE, "loading", Status::Rejected),
            Self::Draining => (Http::SERVICE_UNAVAILABLE, "draining", Status::Rejected),
            Self::TimedOut => (Http::GATEWAY_TIMEOUT, "timeout", Status::Timeout),
            Self::RunFailed => (Http::INTERNAL_SERVER_ERROR, "run_failed", Status::Error),
        }
    }

    /// How the request counts.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.facts().2
    }

    /// The name of the field that is wrong.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid(InvalidRequest::Field(error)) => Some(&error.field),
            Self::NotFinite { field } => Some(field),
            _ => None,
        }
    }

    /// What a failure of the batcher means to the client.
    #[must_use]
    pub fn from_failure(failure: &Failure<RunFailed>, max_rows: NonZeroUsize) -> Self {
        match failure {
            Failure::Rejected(Rejection::Overloaded { .. }) => Self::QueueFull,
            Failure::Rejected(Rejection::TooManyRows { rows, .. }) => {
                Self::Invalid(InvalidRequest::too_many_rows(*rows, max_rows))
            }
            Failure::Rejected(Rejection::Closed) => Self::Draining,
            Failure::TimedOut => Self::TimedOut,
            Failure::Failed(_) | Failure::Gone => Self::RunFailed,
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge { limit } => Self::BodyTooLarge { limit },
            ReadError::NoRoom(NoRoom) => Self::NoRoomForBody,
            ReadError::Incomplete => Self::BodyIncomplete,
            ReadError::TooSlow => Self::BodyTooSlow,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, _) = self.facts();
        let field = self.field().map(ToOwned::to_owned);
        let body = Body {
            error: Details {
                code,
                message: self.to_string(),
                field,
            },
        };
        let mut response = (status, Json(body)).into_response();
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            response
                .headers_mut()
                .insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

#[cfg(test)]
mod tests;
