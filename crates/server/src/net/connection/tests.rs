//! A connection over a pipe, as its client sees it.

mod bodies;
mod ends;
mod memory;
mod silence;
mod streams;

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::routing::get;
use futures::{FutureExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::client::conn::http2;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::net::connection_limit::ConnectionLimit;
use crate::net::connection_state::MAX_UNCOUNTED_REQUESTS;
use crate::net::request_cost::REQUEST_BYTES;
use crate::net::service::{GRPC_STATUS, REJECTION_AGE, RESOURCE_EXHAUSTED};
use crate::request_memory::RequestMemory;

/// Bytes of a response that the HTTP/2 client accepts before they are read.
const WINDOW: u32 = 16 * 1024;

const AGE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// The preface of an HTTP/2 client and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// `GET http://x/slow` in HPACK.
const GET_SLOW: &[u8] = b"\x82\x86\x44\x05/slow\x41\x01x";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const ALL_HEADERS_AND_NO_BODY: u8 = 0x4 | 0x1;

/// An HTTP/2 frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()];
    [&head.concat(), payload].concat()
}

/// The memory for requests, in bytes.
const MEMORY: usize = 3 * 1024 * 1024;

/// Maximum bytes of a head.
const HEAD_BYTES: NonZeroUsize = NonZeroUsize::new(64 * 1024).unwrap();

/// Bytes of the large response.
const LARGE: usize = 1024 * 1024;

/// A connection and its parameters. `/` answers at once, `/refused` and `/exhausted` reject at once, as HTTP
/// and gRPC do. `/slow` answers after 100 s, `/stream` in two parts with 100 s between them.
struct Served {
    client: DuplexStream,
    activity: Arc<Activity>,
    memory: RequestMemory,
    shutdown: watch::Sender<ShutdownPhase>,
    ended: JoinHandle<Instant>,
}

fn serve(age: Option<Duration>) -> Served {
    serve_at(age, ShutdownPhase::Running)
}

fn serve_at(age: Option<Duration>, phase: ShutdownPhase) -> Served {
    serve_idle(age, phase, 75 * SECOND)
}

fn serve_idle(age: Option<Duration>, phase: ShutdownPhase, idle_timeout: Duration) -> Served {
    let (client, server) = duplex(64 * 1024);
    let one = NonZeroUsize::MIN;
    let limit = Arc::new(ConnectionLimit::new(one, None, idle_timeout));
    let slot = limit
        .acquire(Ipv4Addr::LOCALHOST.into())
        .now_or_never()
        .flatten()
        .unwrap();
    let activity = Arc::clone(slot.activity());
    let (shutdown, receiver) = watch::channel(phase);
    let memory = RequestMemory::new(NonZeroUsize::new(MEMORY).unwrap());
    let limits = MemoryLimits {
        memory: memory.clone(),
        head_bytes: HEAD_BYTES,
        reject: Arc::new(|request| {
            let mut rejection = Response::new(Body::from(format!("no memory for {}", request.uri)));
            *rejection.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            rejection
        }),
    };
    let router = Router::new()
        .route("/", get(async || "fast"))
        .route(
            "/refused",
            get(async || (StatusCode::TOO_MANY_REQUESTS, "fast")),
        )
        .route(
            "/exhausted",
            get(async || ([(GRPC_STATUS, RESOURCE_EXHAUSTED)], "fast")),
        )
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route(
            "/stream",
            get(async || {
                let parts = futures::stream::iter(["first ", "second"]).then(async |part| {
                    sleep(100 * SECOND).await;
                    Ok::<_, Infallible>(part)
                });
                Body::from_stream(parts)
            }),
        )
        .route(
            "/slow",
            get(async || {
                sleep(100 * SECOND).await;
                "slow"
            }),
        );
    let ended = tokio::spawn({
        async move {
            connection(server, router, limits, &slot, age, receiver).await;
            Instant::now()
        }
    });
    Served {
        client,
        activity,
        memory,
        shutdown,
        ended,
    }
}

impl Served {
    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    async fn get(&mut self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        self.answer().await
    }

    /// The next response over HTTP/1. All responses here end in the same words.
    async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        while !(answer.ends_with(b"fast") || answer.ends_with(b"slow")) {
            answer.push(self.client.read_u8().await.unwrap());
        }
        String::from_utf8(answer).unwrap()
    }

    /// Waits until the server has closed the connection, and returns how long that took.
    async fn until_closed(&mut self) -> Duration {
        let began = Instant::now();
        let mut rest = Vec::new();
        self.client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(String::from_utf8(rest).unwrap(), "");
        began.elapsed()
    }

    async fn http2(self) -> Http2 {
        let stream = TokioIo::new(self.client);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .handshake(stream)
            .await
            .unwrap();
        Http2 {
            sender,
            client: tokio::spawn(async move { connection.await.unwrap() }),
            activity: self.activity,
            shutdown: self.shutdown,
            ended: self.ended,
        }
    }
}

struct Http2 {
    sender: http2::SendRequest<Empty<Bytes>>,
    client: JoinHandle<()>,
    activity: Arc<Activity>,
    shutdown: watch::Sender<ShutdownPhase>,
    ended: JoinHandle<Instant>,
}

impl Http2 {
    fn get(&mut self, path: &str) -> impl Future<Output = hyper::Result<String>> + Send + use<> {
        let request = Request::get(format!("http://x{path}")).body(Empty::new());
        let answer = self.sender.send_request(request.unwrap());
        async move {
            let answer = answer.await?;
            assert!(!answer.headers().contains_key("connection"));
            let text = axum::body::to_bytes(Body::new(answer.into_body()), 1_000).await;
            Ok(String::from_utf8(text.unwrap().to_vec()).unwrap())
        }
    }
}

fn asks_to_reconnect(answer: &str) -> bool {
    answer.contains("\r\nconnection: close\r\n")
}
