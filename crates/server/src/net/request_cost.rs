//! The memory that a request reserves besides its body, and the response if there is none.

use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Request, Response, Uri, header};

use crate::request_memory::RequestMemory;

/// Bytes that any request takes: its task, its stream, and a buffer of up to 16 KiB that a small piece of its
/// head or body may keep alive.
pub(super) const REQUEST_BYTES: usize = 16 * 1024;

/// Bytes that a header takes besides its text: an entry of a map, which may have twice the capacity that it
/// needs, and an allocation each for its name and its value.
const HEADER_BYTES: usize = 256;

/// The memory for the requests of a listener. Each request reserves its cost before anything else is done.
#[derive(Clone)]
pub struct MemoryLimits {
    /// The memory of all requests together.
    pub memory: RequestMemory,
    /// Maximum bytes of a request's head over HTTP/1, at least 8 KiB. Over HTTP/2 the maximum is this or 16 KiB,
    /// whichever is less.
    pub head_bytes: NonZeroUsize,
    /// Answers a request that finds no memory.
    pub reject: Reject,
}

/// Answers a request that finds no memory.
pub type Reject = Arc<dyn Fn(&RejectedRequest) -> Response<Body> + Send + Sync>;

/// The parts of a request that its rejection depends on.
#[derive(Debug, Clone)]
pub struct RejectedRequest {
    /// The target of the request.
    pub uri: Uri,
    /// Whether it is a call over gRPC.
    pub is_grpc: bool,
}

impl RejectedRequest {
    pub(super) fn new<B>(request: &Request<B>) -> Self {
        let kind = request.headers().get(header::CONTENT_TYPE);
        Self {
            uri: request.uri().clone(),
            is_grpc: kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")),
        }
    }
}

/// Bytes that a request takes while its head lives.
pub(super) fn head_cost(uri: &Uri, headers: &HeaderMap) -> usize {
    let text: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES)
        .sum();
    let uri = uri.path().len() + uri.query().map_or(0, str::len);
    REQUEST_BYTES + uri + text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_costs_its_text_and_a_constant_for_each_header() {
        let uri = Uri::from_static("/predict?x=1");
        let mut headers = HeaderMap::new();
        assert_eq!(head_cost(&uri, &headers), REQUEST_BYTES + 11);
        for _ in 0..100 {
            headers.append("a", header::HeaderValue::from_static("bc"));
        }
        assert_eq!(
            head_cost(&uri, &headers),
            REQUEST_BYTES + 11 + 100 * (HEADER_BYTES + 3)
        );
    }

    #[test]
    fn calls_over_grpc_are_recognised_by_their_content_type() {
        let is_grpc = |kind| {
            let request = Request::post("/x").header(header::CONTENT_TYPE, kind);
            RejectedRequest::new(&request.body(()).unwrap()).is_grpc
        };
        assert!(is_grpc("application/grpc") && is_grpc("application/grpc+proto"));
        assert!(!is_grpc("application/json"));
        assert!(!RejectedRequest::new(&Request::new(())).is_grpc);
    }
}
