//! What a request takes of memory besides its body, and who is told that there is none.

use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Request, Response, Uri, header};

use crate::body::RequestMemory;

/// What any request takes: its task, its stream, and the buffer of up to 16 KiB that a piece of its head or
/// body may be the only rest of.
pub(super) const REQUEST_BYTES: usize = 16 * 1024;

/// What a field of a head takes besides its text: a place in a map, which may be twice as large as it needs
/// to be, and a piece of memory for each of its two halves.
const FIELD_BYTES: usize = 256;

/// Memory for requests, of which each takes its cost before anything is done for it.
#[derive(Clone)]
pub struct MemoryLimits {
    /// All of it.
    pub budget: RequestMemory,
    /// Most bytes of a request's head over HTTP/1; over HTTP/2 the same or 16 KiB, whichever is less. At least
    /// 8 KiB.
    pub head_bytes: NonZeroUsize,
    /// Answers a request for which there is none.
    pub reject: Reject,
}

/// Answers a request for which there is no memory.
pub type Reject = Arc<dyn Fn(&RejectedRequest) -> Response<Body> + Send + Sync>;

/// What a refusal has to know of its request.
#[derive(Debug, Clone)]
pub struct RejectedRequest {
    /// What was asked for.
    pub uri: Uri,
    /// Whether it was over gRPC.
    pub is_grpc: bool,
}

impl RejectedRequest {
    pub(super) fn by<B>(request: &Request<B>) -> Self {
        let kind = request.headers().get(header::CONTENT_TYPE);
        Self {
            uri: request.uri().clone(),
            is_grpc: kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")),
        }
    }
}

/// What a request takes while its head lives: bytes.
pub(super) fn head_cost(uri: &Uri, fields: &HeaderMap) -> usize {
    let text: usize = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES)
        .sum();
    let uri = uri.path().len() + uri.query().map_or(0, str::len);
    REQUEST_BYTES + uri + text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_costs_its_text_and_its_fields_however_short_they_are() {
        let uri = Uri::from_static("/predict?x=1");
        let mut fields = HeaderMap::new();
        assert_eq!(head_cost(&uri, &fields), REQUEST_BYTES + 11);
        for _ in 0..100 {
            fields.append("a", header::HeaderValue::from_static("bc"));
        }
        assert_eq!(
            head_cost(&uri, &fields),
            REQUEST_BYTES + 11 + 100 * (FIELD_BYTES + 3)
        );
    }

    #[test]
    fn calls_over_grpc_are_known_by_their_content() {
        let is_grpc = |kind| {
            let request = Request::post("/x").header(header::CONTENT_TYPE, kind);
            RejectedRequest::by(&request.body(()).unwrap()).is_grpc
        };
        assert!(is_grpc("application/grpc") && is_grpc("application/grpc+proto"));
        assert!(!is_grpc("application/json"));
        assert!(!RejectedRequest::by(&Request::new(())).is_grpc);
    }
}
