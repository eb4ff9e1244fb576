//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::activity::Activity;
use super::connection_limit::ConnectionSlot;
use super::connection_state::{MAX_STALL, Verdict};
use super::frame_filter::FrameFilter;
use super::request_cost::MemoryLimits;
use super::response_body::TrackedBody;
use super::service::{MAX_HEADERS, service};
use super::shutdown::ShutdownPhase;
use super::write_timeout::WriteTimeout;

/// The minimum that hyper accepts for the bytes of a head over HTTP/1 (`max_buf_size` panics below it).
const MIN_HEAD_BYTES: usize = 8 * 1024;

/// Maximum bytes of a request's head over HTTP/2, counted as RFC 9113, section 6.5.2 says, unless the maximum
/// over HTTP/1 is less. One connection may have as many heads as streams.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Maximum concurrent requests over one HTTP/2 connection. Clients that have more wait or open another
/// connection. The recommended minimum is 100 (RFC 9113, section 6.5.2).
const MAX_STREAMS: u32 = 100;

/// Maximum bytes of one request over HTTP/2 that the client may send before they are read. With 1 ms between
/// client and server they allow 64 MB/s.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same for all requests of a connection. The memory isn't counted until they are read, so each connection
/// may take as much. It isn't less because h2 ends a connection with too many small unread frames, about 500
/// with this window (its `DataFrameBudget`).
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Maximum bytes of one response that wait for an HTTP/2 client to take them.
const MAX_UNSENT_BYTES: usize = 256 * 1024;

/// Interval of the pings to an HTTP/2 client, and the timeout of each. Their sum is less than the 60 s after
/// which load balancers drop silent connections, and than [`MAX_STALL`] would need to detect a lost host.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Interval at which a connection that is to end is checked for active requests.
const CLOSE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Serves a connection until it ends: by its client, the idle timeout, an eviction, its age, or the shutdown of
/// the server.
///
/// The age interrupts no request. Over HTTP/1, the next response asks the client to reconnect; a connection
/// without a next request puts no load on this server and reaches the idle timeout. Over HTTP/2, GOAWAY asks for
/// the same, and active requests are answered. A rejected request may end a connection earlier, in the same way.
pub(super) async fn connection<S>(
    stream: S,
    router: Router,
    limits: MemoryLimits,
    slot: &ConnectionSlot,
    age: Option<Duration>,
    mut shutdown: watch::Receiver<ShutdownPhase>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (http, activity) = (http(limits.head_bytes), slot.activity());
    activity.set_age(age);
    let stream = WriteTimeout::new(stream, MAX_STALL, Arc::clone(activity));
    let stream = TokioIo::new(FrameFilter::new(stream));
    let connection = http.serve_connection(stream, service(router, limits, slot, age));
    let mut connection = pin!(connection);
    // A connection that wasn't polled yet may have requests.
    let mut phase = (*shutdown.borrow()).min(ShutdownPhase::NoNewConnections);
    let ended = loop {
        let wait = activity.advance(phase);
        if wait.sends_goaway {
            connection.as_mut().graceful_shutdown();
        }
        tokio::select! {
            // Requests that have arrived are begun before the state is checked.
            biased;
            ended = connection.as_mut() => break ended,
            next = phase_after(&mut shutdown, phase) => phase = next,
            () = activity.changed() => {}
            () = sleep_until(wait.until) => {}
        }
        match activity.verdict(phase) {
            Verdict::Continue => {}
            Verdict::Finish => {
                connection.as_mut().graceful_shutdown();
                break connection.await;
            }
            Verdict::Close => break close(connection, activity).await,
            Verdict::Abort(reason) => break Err(reason.into()),
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
}

fn http(head_bytes: NonZeroUsize) -> auto::Builder<TokioExecutor> {
    let head_bytes = head_bytes.get().max(MIN_HEAD_BYTES);
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // The connection's state has its own timeouts; hyper would set a timer for each request.
        .header_read_timeout(None)
        .max_buf_size(head_bytes)
        .max_headers(MAX_HEADERS);
    // The defaults of h2 and hyper disconnect clients that reset their requests again and again.
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

/// Returns the phase of the shutdown once it is later than `phase`: the last one if the sender is gone.
async fn phase_after(
    shutdown: &mut watch::Receiver<ShutdownPhase>,
    phase: ShutdownPhase,
) -> ShutdownPhase {
    let next = shutdown.wait_for(|next| *next > phase).await;
    next.map_or(ShutdownPhase::FinishRequests, |next| *next)
}

/// Closes a connection at once, unless a request has just arrived: that is answered first, and streams continue
/// until the client's next turn.
async fn close<I, S>(
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
    while !activity.is_droppable() {
        if let Ok(ended) = timeout(CLOSE_CHECK_INTERVAL, connection.as_mut()).await {
            return ended;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
