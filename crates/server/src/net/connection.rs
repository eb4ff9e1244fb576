//! One connection.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::activity::{Activity, IdleHandle};
use super::connection_limit::ConnectionSlot;
use super::frames::FrameFilter;
use super::request_body::{RequestBody, UnreadBody};
use super::request_cost::{MemoryLimits, REQUEST_BYTES, RejectedRequest, head_cost};
use super::response_body::TrackedBody;
use super::shutdown::ShutdownPhase;
use super::write_timeout::WriteTimeout;
use crate::body::AlreadyCharged;

/// Longest time in which a client may take nothing of its answers; of one among several over
/// HTTP/2 up to twice as long, since nobody looks more often.
const MAX_STALL: Duration = Duration::from_secs(30);

/// The least that hyper takes for a head over HTTP/1 (`max_buf_size` panics below it).
const LEAST_HEAD_BYTES: usize = 8 * 1024;

/// Most headers of a request. Chains of proxies and tracing add dozens of their own; hyper's own bound over
/// HTTP/1 is 100, which it takes without an allocation, and over HTTP/2 it has none. Beyond it the answer is
/// 431 without a body.
const MAX_HEADERS: usize = 256;

/// Most bytes of a request's head over HTTP/2, as its own rules count them (RFC 9113, section
/// 6.5.2), where it isn't less over HTTP/1. One connection may have as many heads as streams.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Most requests at the same time over one HTTP/2 connection. Clients that have more wait or open
/// another connection; the recommended least is 100 (RFC 9113, section 6.5.2).
const MAX_STREAMS: u32 = 100;

/// Most bytes that a client may send over HTTP/2 before they are read, of one request. At 1 ms between client
/// and server still 64 MB/s.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same of all requests of a connection. Nothing counts them until they are read, so that it is memory
/// which each connection may take. Not less: h2 ends a connection where too many small frames aren't read, some
/// 500 with this window (its `DataFrameBudget`).
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Most bytes of one answer that wait for an HTTP/2 client to take them.
const MAX_UNSENT_BYTES: usize = 256 * 1024;

/// gRPC's header of a status without an answer, and the code of a refusal.
const GRPC_STATUS: &str = "grpc-status";
const RESOURCE_EXHAUSTED: &str = "8";

/// How often an HTTP/2 client is asked for a sign of life, and how long it may take: together less
/// than the 60 s after which load balancers drop what is silent, and than [`MAX_STALL`] would take
/// to notice that a host is gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Age at which a refusal ends a connection, where connections grow old at all: its client, which is to
/// try again, then finds the servers that have come meanwhile sooner than at its greatest age. Not at
/// once: where all servers are overloaded, a new connection for each refusal would make it worse.
const REFUSED_AGE: Duration = Duration::from_secs(5);

/// Most requests of a connection for which there is no memory and whose clients haven't taken that answer
/// yet: what is beyond isn't counted anywhere, so the connection ends.
const MAX_UNPAID: usize = 8;

/// How often is looked whether a connection that is to end does nothing any more.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Serves a connection until it ends: by its client, by its silence, by the need for its place, by
/// its age or because the server ends.
///
/// At its age nothing is cut off. Over HTTP/1 the next answer asks the client to reconnect; a
/// connection without a next request puts no load on this server and falls silent in the end. Over
/// HTTP/2 GOAWAY says the same, and what is in flight is answered. A refused request may end a
/// connection earlier, in the same way.
pub(super) async fn connection<S>(
    stream: S,
    router: Router,
    memory: MemoryLimits,
    slot: &ConnectionSlot,
    age: Option<Duration>,
    mut closing: watch::Receiver<ShutdownPhase>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (http, activity) = (http(memory.head_bytes), slot.activity());
    let stream = FrameFilter::new(WriteTimeout::new(stream, MAX_STALL, Arc::clone(activity)));
    let stream = TokioIo::new(stream);
    let refused_age = age.map(|age| age.min(REFUSED_AGE));
    let service = service(router, memory, slot, refused_age);
    let connection = http.serve_connection(stream, service);
    let mut connection = pin!(connection);
    // A connection that wasn't looked at yet isn't known to be idle.
    let mut stage = (*closing.borrow()).min(ShutdownPhase::NoNewConnections);
    let mut retires_at = age.map(|age| activity.opened() + age);
    let mut went_away = false;
    let ended = loop {
        if stage >= ShutdownPhase::AskReconnect || retires_at.is_some_and(|at| at <= Instant::now())
        {
            activity.retire();
            retires_at = None;
        }
        // Not before the first request: until then it isn't known to be HTTP/2.
        if activity.is_retired() && activity.is_http2() && !went_away {
            connection.as_mut().graceful_shutdown();
            went_away = true;
        }
        let look_at = [activity.silent_at(), retires_at]
            .into_iter()
            .flatten()
            // A request that has come and gone meanwhile leaves the connection idle without a word.
            .fold(
                Instant::now() + MAX_STALL.min(activity.max_idle()),
                Instant::min,
            );
        tokio::select! {
            // What has arrived is answered: a connection is idle only after it was looked at.
            biased;
            ended = connection.as_mut() => break ended,
            later = beyond(&mut closing, stage) => stage = later,
            () = activity.changed() => {}
            () = sleep_until(look_at) => {}
        }
        if stage == ShutdownPhase::FinishRequests {
            connection.as_mut().graceful_shutdown();
            break connection.await;
        }
        if activity.unpaid() > MAX_UNPAID {
            break Err("the client doesn't take refusals".into());
        }
        let now = Instant::now();
        if activity.is_evicted() && activity.stalled_since().is_some() {
            break Err("its slot is needed, and its client does nothing".into());
        }
        if activity.is_evicted() || activity.silent_at().is_some_and(|at| at <= now) {
            break hang_up(connection, activity).await;
        }
        if activity
            .untaken_since()
            .is_some_and(|since| now - since >= MAX_STALL)
        {
            break Err("the client takes nothing of an answer".into());
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

fn http(head_bytes: NonZeroUsize) -> auto::Builder<TokioExecutor> {
    let head_bytes = head_bytes.get().max(LEAST_HEAD_BYTES);
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // Silence is noticed here; a timer for each request would be set for nothing.
        .header_read_timeout(None)
        .max_buf_size(head_bytes)
        .max_headers(MAX_HEADERS);
    // Clients that reset what they ask for, again and again, are disconnected by the defaults of
    // h2 and hyper.
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(
            u32::try_from(head_bytes).map_or(MAX_HEADER_LIST_BYTES, |bytes| {
                bytes.min(MAX_HEADER_LIST_BYTES)
            }),
        )
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_UNSENT_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

/// The router, with every request counted, and its memory taken before it gets there. Beyond an age a
/// refusal ends the connection.
fn service(
    router: Router,
    memory: MemoryLimits,
    slot: &ConnectionSlot,
    refused_age: Option<Duration>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<TrackedBody>,
    Error = Infallible,
    Future: Send + 'static,
> + use<> {
    let (limit, activity) = (Arc::clone(slot.of()), Arc::clone(slot.activity()));
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        let mut in_flight = activity.request(request.version());
        let asked = RejectedRequest::by(&request);
        let cost = head_cost(request.uri(), request.headers());
        let held = memory.budget.reserve(cost);
        if held.is_err() {
            in_flight.count_unpaid();
            limit.relieve();
        }
        if request.version() == Version::HTTP_2 {
            let patience = IdleHandle::of(Arc::clone(&activity));
            request.extensions_mut().insert(patience);
        }
        let rest = UnreadBody::new();
        let (version, is_grpc) = (request.version(), asked.is_grpc);
        let asks_first = request.headers().contains_key(EXPECT);
        let refused = match &held {
            Ok(_) if request.headers().len() > MAX_HEADERS => Some(too_many_headers()),
            Ok(_) => None,
            Err(_exhausted) => Some(refusal(&memory, &asked)),
        };
        let arriving = in_flight.arriving();
        let request = request.map(|body| RequestBody::new(body, arriving, &rest));
        let answering = match refused {
            None => Ok(router.call(request)),
            Some(response) => Err(response),
        };
        let (memory, activity) = (memory.clone(), Arc::clone(&activity));
        async move {
            let mut response = match answering {
                Ok(answering) => answering.await?,
                Err(refusal) => refusal,
            };
            // A client that asks before it sends has sent nothing, and one that streams may have no end.
            let is_read = if asks_first || is_grpc {
                rest.is_nothing()
            } else {
                rest.discard().await
            };
            let mut held = held.unwrap_or_else(|_exhausted| memory.budget.hold());
            held.shrink_to(REQUEST_BYTES);
            let size = response.size_hint().exact();
            let size = size.and_then(|size| usize::try_from(size).ok());
            let is_kept = response.extensions().get::<AlreadyCharged>().is_some();
            if let Some(size) = size.filter(|_| !is_kept)
                && held.grow(size).is_err()
            {
                response = refusal(&memory, &asked);
            }
            if !is_read && version < Version::HTTP_2 {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            if is_refusal(&response)
                && refused_age.is_some_and(|age| activity.opened().elapsed() >= age)
            {
                activity.retire_now();
            }
            Ok(TrackedBody::to(in_flight, response, held))
        }
    })
}

/// The answer to a request for which there is no memory. It takes what little it needs from nothing.
fn refusal(memory: &MemoryLimits, asked: &RejectedRequest) -> Response<Body> {
    let mut response = (memory.reject)(asked);
    response.extensions_mut().insert(AlreadyCharged);
    response
}

fn too_many_headers() -> Response<Body> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response
}

/// Whether a request was refused for what other requests ask of this server.
fn is_refusal(response: &Response<Body>) -> bool {
    let code = response.headers().get(GRPC_STATUS);
    response.status() == StatusCode::TOO_MANY_REQUESTS
        || code.is_some_and(|code| code == RESOURCE_EXHAUSTED)
}

/// Returns the stage of closing once it is later than this one; the last one if nobody is left to
/// say so.
async fn beyond(
    closing: &mut watch::Receiver<ShutdownPhase>,
    stage: ShutdownPhase,
) -> ShutdownPhase {
    closing
        .wait_for(|closing| *closing > stage)
        .await
        .map_or(ShutdownPhase::FinishRequests, |later| *later)
}

/// Ends a connection at once, unless a request came at the last moment: that is answered first, and
/// streams go on to their next pause.
async fn hang_up<I, S>(
    mut connection: Pin<&mut auto::Connection<'_, I, S, TokioExecutor>>,
    activity: &Activity,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    I: Read + Write + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<TrackedBody>, Error = Infallible>,
    S::Future: Send + 'static,
{
    connection.as_mut().graceful_shutdown();
    let ended = poll_fn(|context| Poll::Ready(connection.as_mut().poll(context))).await;
    if let Poll::Ready(ended) = ended {
        return ended;
    }
    while !activity.does_nothing() {
        if let Ok(ended) = timeout(LOOK_AGAIN, connection.as_mut()).await {
            return ended;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
