//! The service of a connection: the router behind the reservation of memory and the tracking of requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::service::TowerToHyperService;

use super::connection_limit::ConnectionSlot;
use super::request_body::{RequestBody, UnreadBody};
use super::request_cost::{MemoryLimits, REQUEST_BYTES, RejectedRequest, head_cost};
use super::response_body::TrackedBody;
use crate::request_memory::AlreadyCharged;

/// Maximum headers of a request. Chains of proxies and tracing add dozens of their own. The limit of hyper over
/// HTTP/1 is 100, for which it needs no allocation, and over HTTP/2 it has none. Beyond the maximum the response
/// is 431 without a body.
pub(super) const MAX_HEADERS: usize = 256;

/// The header of a status without a response over gRPC, and the code of a rejection.
pub(super) const GRPC_STATUS: &str = "grpc-status";
pub(super) const RESOURCE_EXHAUSTED: &str = "8";

/// Maximum age at which a rejection ends a connection, if connections have a maximum age. The client then finds
/// servers that were added meanwhile earlier than at that age. It isn't zero: if all servers are overloaded, a
/// new connection for each rejection would add to the load.
pub(super) const REJECTION_AGE: Duration = Duration::from_secs(5);

/// The router. Each request is tracked by the state of the connection and reserves its memory first. `age` is the
/// maximum age of the connection.
pub(super) fn service(
    router: Router,
    limits: MemoryLimits,
    slot: &ConnectionSlot,
    age: Option<Duration>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<TrackedBody>,
    Error = Infallible,
    Future: Send + 'static,
> + use<> {
    let rejection_age = age.map(|age| age.min(REJECTION_AGE));
    let (connection_limit, activity) = (Arc::clone(slot.limit()), Arc::clone(slot.activity()));
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        let active = activity.begin_request(request.version());
        let rejected = RejectedRequest::new(&request);
        let reservation = limits
            .memory
            .reserve(head_cost(request.uri(), request.headers()));
        if reservation.is_err() {
            active.set_uncounted();
            connection_limit.reclaim_memory();
        }
        if request.version() == Version::HTTP_2 {
            request.extensions_mut().insert(active.idle_handle());
        }
        let unread = UnreadBody::new();
        let (version, is_grpc) = (request.version(), rejected.is_grpc);
        let expects_continue = request.headers().contains_key(EXPECT);
        let rejection = match &reservation {
            Ok(_) if request.headers().len() > MAX_HEADERS => Some(too_many_headers()),
            Ok(_) => None,
            Err(_exhausted) => Some(reject(&limits, &rejected)),
        };
        let progress = active.body_progress();
        let request = request.map(|body| RequestBody::new(body, progress, &unread));
        let response = match rejection {
            None => Ok(router.call(request)),
            Some(rejection) => Err(rejection),
        };
        let (limits, activity) = (limits.clone(), Arc::clone(&activity));
        async move {
            let mut response = match response {
                Ok(response) => response.await?,
                Err(rejection) => rejection,
            };
            // A client that waits for 100 Continue has sent nothing, and a stream may have no end.
            let is_read = if expects_continue || is_grpc {
                unread.is_empty()
            } else {
                unread.discard().await
            };
            let mut reservation =
                reservation.unwrap_or_else(|_exhausted| limits.memory.empty_reservation());
            reservation.shrink_to(REQUEST_BYTES);
            let size = response.size_hint().exact();
            let size = size.and_then(|size| usize::try_from(size).ok());
            let is_charged = response.extensions().get::<AlreadyCharged>().is_some();
            if let Some(size) = size.filter(|_| !is_charged)
                && reservation.grow(size).is_err()
            {
                response = reject(&limits, &rejected);
            }
            if !is_read && version < Version::HTTP_2 {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            if is_rejection(&response) && rejection_age.is_some_and(|age| activity.age() >= age) {
                activity.retire();
            }
            Ok(TrackedBody::track(active, response, reservation))
        }
    })
}

/// The response to a request that finds no memory. Its own few bytes aren't counted.
fn reject(limits: &MemoryLimits, request: &RejectedRequest) -> Response<Body> {
    let mut response = (limits.reject)(request);
    response.extensions_mut().insert(AlreadyCharged);
    response
}

fn too_many_headers() -> Response<Body> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response
}

/// Whether a request was rejected because of the load of other requests.
fn is_rejection(response: &Response<Body>) -> bool {
    let code = response.headers().get(GRPC_STATUS);
    response.status() == StatusCode::TOO_MANY_REQUESTS
        || code.is_some_and(|code| code == RESOURCE_EXHAUSTED)
}
