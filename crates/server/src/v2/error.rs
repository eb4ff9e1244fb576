//! The errors of the Open Inference Protocol, over HTTP and gRPC.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use springtide_contract::text::plain;
use springtide_open_inference::{InvalidRequest, NotFinite};
use tonic::Code;

use crate::body::ReadError;
use crate::metrics::{Rejected, Status};
use crate::models::{InferError, InputError, LookupError, MAX_MESSAGE};
use crate::request_memory::MemoryExhausted;

/// Time after which a rejected client may retry if no better estimate is known.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// The error of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The body could not be read.
    #[error(transparent)]
    Body(#[from] ReadError),
    /// A header is invalid.
    #[error("the header {0} must be a number of bytes")]
    Header(&'static str),
    /// The content encoding isn't supported.
    #[error("the body must be plain, or have the Content-Encoding gzip or deflate")]
    Encoding,
    /// The request is invalid for the protocol or the model.
    #[error(transparent)]
    Request(#[from] InvalidRequest),
    /// The inputs don't fit each other or the limits of the server.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The outputs can't be written as JSON.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    /// The model doesn't serve.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The server isn't ready yet.
    #[error("the models are being loaded")]
    Loading,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Draining,
    /// No model can run requests any more.
    #[error("{0}")]
    Stuck(String),
    /// The model gave no result.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The path doesn't exist.
    #[error("this path does not exist: inference is at POST /v2/models/<name>/infer")]
    NotFound,
    /// The path doesn't have the method.
    #[error("this path does not allow the method")]
    MethodNotAllowed,
    /// Clients can't load and unload models.
    #[error("clients can't load or unload models: change the files of the model directory")]
    ReadOnly,
}

impl From<MemoryExhausted> for ProtocolError {
    fn from(error: MemoryExhausted) -> Self {
        Self::Body(error.into())
    }
}

impl ProtocolError {
    /// HTTP status, gRPC code and the status in the metrics.
    const fn facts(&self) -> (StatusCode, Code, Status) {
        use StatusCode as Http;
        match self {
            Self::Body(ReadError::TooLarge { .. }) => (
                Http::PAYLOAD_TOO_LARGE,
                Code::InvalidArgument,
                Status::Invalid,
            ),
            Self::Body(ReadError::MemoryExhausted(_)) => (
                Http::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
                Status::Rejected(Rejected::NoRoomForBody),
            ),
            Self::Body(ReadError::TooSlow) => (
                Http::REQUEST_TIMEOUT,
                Code::DeadlineExceeded,
                Status::Invalid,
            ),
            Self::Body(ReadError::Incomplete | ReadError::Corrupt)
            | Self::Header(_)
            | Self::Request(InvalidRequest::Invalid(_))
            | Self::Input(_)
            | Self::Lookup(LookupError::Several) => {
                (Http::BAD_REQUEST, Code::InvalidArgument, Status::Invalid)
            }
            Self::Encoding => (
                Http::UNSUPPORTED_MEDIA_TYPE,
                Code::Unimplemented,
                Status::Invalid,
            ),
            Self::Request(InvalidRequest::Unsupported(_)) | Self::ReadOnly => {
                (Http::NOT_IMPLEMENTED, Code::Unimplemented, Status::Invalid)
            }
            Self::NotFinite(_) => (
                Http::UNPROCESSABLE_ENTITY,
                Code::InvalidArgument,
                Status::Invalid,
            ),
            Self::Lookup(LookupError::UnknownModel(_) | LookupError::UnknownVersion { .. })
            | Self::NotFound => (Http::NOT_FOUND, Code::NotFound, Status::Invalid),
            Self::MethodNotAllowed => (
                Http::METHOD_NOT_ALLOWED,
                Code::Unimplemented,
                Status::Invalid,
            ),
            Self::Lookup(LookupError::NothingServes | LookupError::Unavailable { .. })
            | Self::Loading => (
                Http::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                Status::Rejected(Rejected::Loading),
            ),
            Self::Draining => (
                Http::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                Status::Rejected(Rejected::Draining),
            ),
            Self::Stuck(_) => (Http::SERVICE_UNAVAILABLE, Code::Unavailable, Status::Error),
            Self::Infer(error) => {
                let (http, grpc) = match error {
                    InferError::QueueFull { .. } | InferError::Overloaded { .. } => {
                        (Http::TOO_MANY_REQUESTS, Code::ResourceExhausted)
                    }
                    InferError::Draining => (Http::SERVICE_UNAVAILABLE, Code::Unavailable),
                    InferError::TimedOut => (Http::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
                    InferError::InvalidInput(_) => (Http::BAD_REQUEST, Code::InvalidArgument),
                    InferError::Failed => (Http::INTERNAL_SERVER_ERROR, Code::Internal),
                };
                (http, grpc, error.status())
            }
        }
    }

    /// The status of the request in the metrics.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.facts().2
    }

    /// The gRPC code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.facts().1
    }

    /// The message for the client, as plain text: it may contain names that a model's author chose.
    #[must_use]
    pub fn message(&self) -> String {
        plain(&self.to_string(), MAX_MESSAGE).into_owned()
    }

    /// Time after which the client may retry. None if a retry would fail.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.status() {
            Status::Rejected(_) => match self {
                Self::Infer(error) => error.retry_after(),
                _ => None,
            }
            .or(Some(RETRY_AFTER_DEFAULT)),
            _ => None,
        }
    }
}

impl IntoResponse for ProtocolError {
    fn into_response(self) -> Response {
        let body = Json(serde_json::json!({ "error": self.message() }));
        let mut response = (self.facts().0, body).into_response();
        // Only over HTTP: over gRPC the deadline may be the client's own.
        let is_late = response.status() == StatusCode::REQUEST_TIMEOUT;
        let retry_after = self.retry_after();
        if let Some(wait) = retry_after.or(is_late.then_some(RETRY_AFTER_DEFAULT)) {
            // The header has whole seconds.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_model_is_plain_text() {
        let said = format!("\0a\n\u{202e}b\u{9b}\u{2028}{}", "c".repeat(10_000));
        let error = ProtocolError::Infer(InferError::InvalidInput(said));
        let message = error.message();
        assert!(
            message.contains("input: \u{fffd}a \u{fffd}b\u{fffd} ccc"),
            "{message:?}"
        );
        assert!(message.len() <= MAX_MESSAGE && message.ends_with("c…"));
    }

    #[test]
    fn errors_have_a_status_over_http_and_grpc() {
        let retry_after = Duration::from_millis(1_500);
        for (error, http, grpc, seconds) in [
            (
                ProtocolError::Request(InvalidRequest::Invalid("x".to_owned())),
                400,
                Code::InvalidArgument,
                None,
            ),
            (
                ProtocolError::Request(InvalidRequest::Unsupported("x".to_owned())),
                501,
                Code::Unimplemented,
                None,
            ),
            (
                ProtocolError::Lookup(LookupError::UnknownModel("x".to_owned())),
                404,
                Code::NotFound,
                None,
            ),
            (
                ProtocolError::Lookup(LookupError::NothingServes),
                503,
                Code::Unavailable,
                Some("1"),
            ),
            (ProtocolError::Draining, 503, Code::Unavailable, Some("1")),
            (
                ProtocolError::Infer(InferError::QueueFull { retry_after }),
                429,
                Code::ResourceExhausted,
                Some("2"),
            ),
            (
                ProtocolError::from(MemoryExhausted),
                429,
                Code::ResourceExhausted,
                Some("1"),
            ),
            (
                ProtocolError::Infer(InferError::TimedOut),
                504,
                Code::DeadlineExceeded,
                None,
            ),
            (
                ProtocolError::Infer(InferError::InvalidInput("x".to_owned())),
                400,
                Code::InvalidArgument,
                None,
            ),
            (
                ProtocolError::Body(ReadError::TooSlow),
                408,
                Code::DeadlineExceeded,
                Some("1"),
            ),
            (
                ProtocolError::Body(ReadError::Corrupt),
                400,
                Code::InvalidArgument,
                None,
            ),
            (
                ProtocolError::Infer(InferError::Failed),
                500,
                Code::Internal,
                None,
            ),
            (
                ProtocolError::Body(ReadError::TooLarge { limit: 7 }),
                413,
                Code::InvalidArgument,
                None,
            ),
        ] {
            assert_eq!(error.code(), grpc, "{error}");
            let response = error.clone().into_response();
            assert_eq!(response.status().as_u16(), http, "{error}");
            let told = response.headers().get(RETRY_AFTER);
            let told = told.map(|value| value.to_str().unwrap());
            assert_eq!(told, seconds, "{error}");
        }
    }
}
