//! What a client is told when its request has no answer, over HTTP and over gRPC.

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

/// Time after which a refused client may try again where nothing better is known.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The body could not be read.
    #[error(transparent)]
    Body(#[from] ReadError),
    /// A header isn't what it should be.
    #[error("the header {0} must be a number of bytes")]
    Header(&'static str),
    /// The body is encoded in a way that isn't known.
    #[error("the body must be plain, or have the Content-Encoding gzip or deflate")]
    Encoding,
    /// The request isn't what the protocol or the model says.
    #[error(transparent)]
    Request(#[from] InvalidRequest),
    /// The inputs don't fit each other or the server's bounds.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The answer can't be said in JSON.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    /// The model doesn't serve.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The server as a whole doesn't serve yet.
    #[error("the models are being loaded")]
    Loading,
    /// The server ends.
    #[error("the server is shutting down")]
    Draining,
    /// No model can run anything any more.
    #[error("{0}")]
    Stuck(String),
    /// The model's answer can't be had.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// No such path.
    #[error("there is nothing here: inference is at POST /v2/models/<name>/infer")]
    NotFound,
    /// The path exists, the method doesn't.
    #[error("this method is not allowed here")]
    MethodNotAllowed,
    /// Models aren't loaded and unloaded by clients.
    #[error("models are loaded and unloaded with the files of the model directory")]
    ReadOnly,
}

impl From<MemoryExhausted> for ProtocolError {
    fn from(error: MemoryExhausted) -> Self {
        Self::Body(error.into())
    }
}

impl ProtocolError {
    /// HTTP status, gRPC code and how the request counts.
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

    /// How the request counts.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.facts().2
    }

    /// The gRPC code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.facts().1
    }

    /// What a client is told. It may name parts of a model, whose names are its author's.
    #[must_use]
    pub fn message(&self) -> String {
        plain(&self.to_string(), MAX_MESSAGE).into_owned()
    }

    /// Time after which it is worth trying again, where it is.
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
        // Over gRPC the deadline was the client's own.
        let is_late = response.status() == StatusCode::REQUEST_TIMEOUT;
        let again = self.retry_after();
        if let Some(wait) = again.or(is_late.then_some(RETRY_AFTER_DEFAULT)) {
            // Whole seconds are all that the header has.
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
    fn what_a_model_says_is_told_on_one_line_without_controls() {
        let said = format!("\0a\n\u{202e}b\u{9b}\u{2028}{}", "c".repeat(10_000));
        let refusal = ProtocolError::Infer(InferError::InvalidInput(said));
        let message = refusal.message();
        assert!(
            message.contains("input: \u{fffd}a \u{fffd}b\u{fffd} ccc"),
            "{message:?}"
        );
        assert!(message.len() <= MAX_MESSAGE && message.ends_with("c…"));
    }

    #[test]
    fn refusals_are_told_alike_over_http_and_grpc() {
        let retry_after = Duration::from_millis(1_500);
        for (refusal, http, grpc, seconds) in [
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
            assert_eq!(refusal.code(), grpc, "{refusal}");
            let response = refusal.clone().into_response();
            assert_eq!(response.status().as_u16(), http, "{refusal}");
            let told = response.headers().get(RETRY_AFTER);
            let told = told.map(|value| value.to_str().unwrap());
            assert_eq!(told, seconds, "{refusal}");
        }
    }
}
