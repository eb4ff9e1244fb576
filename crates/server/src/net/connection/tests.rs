use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::routing::get;
use futures::{FutureExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::body::BodyBudget;
use crate::net::places::Places;

/// Bytes of an answer that the HTTP/2 client takes before they are read.
const WINDOW: u32 = 16 * 1024;

const AGE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// What an HTTP/2 client begins with, and settings without any.
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

/// Memory for requests.
const BUDGET: usize = 3 * 1024 * 1024;

/// Most bytes of a head.
const HEAD_BYTES: NonZeroUsize = NonZeroUsize::new(64 * 1024).unwrap();

/// Bytes of the large answer.
const LARGE: usize = 1024 * 1024;

/// A connection and what it is told. `/` answers at once, `/refused` and `/exhausted` refuse at once,
/// over HTTP and gRPC, `/slow` answers after 100 s, `/stream` in two parts with 100 s between them.
struct Served {
    client: DuplexStream,
    activity: Arc<Activity>,
    budget: BodyBudget,
    closing: watch::Sender<Closing>,
    ended: JoinHandle<Instant>,
}

fn serve(age: Option<Duration>) -> Served {
    serve_at(age, Closing::Open)
}

fn serve_at(age: Option<Duration>, stage: Closing) -> Served {
    serve_idle(age, stage, 75 * SECOND)
}

fn serve_idle(age: Option<Duration>, stage: Closing, max_idle: Duration) -> Served {
    let (client, server) = duplex(64 * 1024);
    let one = NonZeroUsize::MIN;
    let places = Arc::new(Places::new(one, None, max_idle));
    let place = places
        .take(Ipv4Addr::LOCALHOST.into())
        .now_or_never()
        .flatten()
        .unwrap();
    let activity = Arc::clone(place.activity());
    let (closing, receiver) = watch::channel(stage);
    let budget = BodyBudget::new(NonZeroUsize::new(BUDGET).unwrap());
    let memory = Memory {
        budget: budget.clone(),
        head_bytes: HEAD_BYTES,
        refuse: Arc::new(|asked| {
            let mut refusal = Response::new(Body::from(format!("no room for {}", asked.uri)));
            *refusal.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            refusal
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
            connection(server, router, memory, &place, age, receiver).await;
            Instant::now()
        }
    });
    Served {
        client,
        activity,
        budget,
        closing,
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

    /// The next answer over HTTP/1, as all answers here end.
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
            closing: self.closing,
            ended: self.ended,
        }
    }
}

struct Http2 {
    sender: http2::SendRequest<Empty<Bytes>>,
    client: JoinHandle<()>,
    activity: Arc<Activity>,
    closing: watch::Sender<Closing>,
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

#[tokio::test(start_paused = true)]
async fn the_first_answer_beyond_its_age_ends_a_connection() {
    let mut served = serve(Some(AGE));
    for _second in 0..29 {
        assert!(!asks_to_reconnect(&served.get("/").await));
        sleep(SECOND).await;
    }
    sleep(2 * SECOND).await;
    assert!(asks_to_reconnect(&served.get("/").await));
    assert_eq!(served.until_closed().await, Duration::ZERO);
    served.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_a_connection_that_is_not_new() {
    let mut served = serve(Some(AGE));
    assert!(!asks_to_reconnect(&served.get("/refused").await));
    sleep(REFUSED_AGE).await;
    assert!(!asks_to_reconnect(&served.get("/").await));
    assert!(asks_to_reconnect(&served.get("/refused").await));
    assert_eq!(served.until_closed().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_is_read_away_before_the_next_request() {
    let mut served = serve(None);
    // More than arrives at once: the handlers here read none of it.
    let length = 1024 * 1024;
    served
        .send(&format!(
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
    served.client.write_all(&vec![b'x'; length]).await.unwrap();
    assert!(!asks_to_reconnect(&served.answer().await));
    assert!(!asks_to_reconnect(&served.get("/").await));
}

#[tokio::test(start_paused = true)]
async fn who_has_not_sent_a_body_that_nobody_reads_is_told_that_the_connection_ends() {
    for (fields, waits) in [
        ("Content-Length: 9\r\n", SECOND),
        ("Transfer-Encoding: chunked\r\n", SECOND),
        // It waits for a word before it sends.
        (
            "Content-Length: 9\r\nExpect: 100-continue\r\n",
            Duration::ZERO,
        ),
    ] {
        let mut served = serve(None);
        let began = Instant::now();
        served
            .send(&format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"))
            .await;
        assert!(asks_to_reconnect(&served.answer().await), "{fields}");
        assert_eq!(began.elapsed(), waits);
        assert_eq!(served.until_closed().await, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_ends_its_connection_with_a_word() {
    let mut served = serve(None);
    served
        .send("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnumber\r\n")
        .await;
    assert!(asks_to_reconnect(&served.answer().await));
    assert_eq!(served.until_closed().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn where_connections_do_not_grow_old_a_refusal_ends_none() {
    let mut served = serve(None);
    sleep(REFUSED_AGE).await;
    assert!(!asks_to_reconnect(&served.get("/refused").await));
    assert!(served.get("/").await.ends_with("fast"));
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_refusal_sends_the_client_away_and_answers_what_is_in_flight() {
    for path in ["/refused", "/exhausted"] {
        let mut served = serve(Some(AGE)).http2().await;
        assert_eq!(served.get(path).await.unwrap(), "fast");
        let slow = tokio::spawn(served.get("/slow"));
        sleep(REFUSED_AGE).await;
        assert_eq!(served.get(path).await.unwrap(), "fast");
        sleep(SECOND).await;
        assert!(served.get("/").await.is_err(), "it was sent away");
        assert_eq!(slow.await.unwrap().unwrap(), "slow");
        served.client.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_sent_before_the_age_is_answered_after_it() {
    let mut served = serve(Some(AGE));
    let answer = served.get("/slow").await;
    assert!(
        asks_to_reconnect(&answer) && answer.ends_with("slow"),
        "{answer}"
    );
    assert_eq!(served.until_closed().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_old_idle_connection_is_not_closed_into_its_clients_next_request() {
    let mut served = serve(Some(AGE));
    served.get("/").await;
    sleep(70 * SECOND).await;
    assert!(asks_to_reconnect(&served.get("/").await));
}

#[tokio::test(start_paused = true)]
async fn without_an_age_a_connection_lasts() {
    let mut served = serve(None);
    for _minute in 0..600 {
        assert!(!asks_to_reconnect(&served.get("/").await));
        sleep(60 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_head_has_ten_seconds_however_slowly_it_comes() {
    let mut silent = serve(None);
    assert_eq!(silent.until_closed().await, 10 * SECOND);
    // The second one could become HTTP/2.
    for text in ["GET / HTTP/1.1\r\nX", "PRI * HTTP/2"] {
        let mut served = serve(None);
        let began = Instant::now();
        for letter in text.bytes() {
            sleep(SECOND / 2).await;
            served.client.write_u8(letter).await.unwrap();
        }
        assert_eq!(served.ended.await.unwrap() - began, 10 * SECOND, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_after_an_answer_and_half_a_head_have_75_seconds() {
    let mut served = serve(None);
    served.get("/").await;
    sleep(40 * SECOND).await;
    served.get("/").await;
    served.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(served.until_closed().await, 75 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_after_the_time_that_was_set() {
    for max_idle in [SECOND, 5 * SECOND, 600 * SECOND] {
        let mut served = serve_idle(None, Closing::Open, max_idle);
        served.get("/").await;
        assert_eq!(served.until_closed().await, max_idle);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_long_is_no_silence() {
    let mut served = serve(None);
    assert!(served.get("/slow").await.ends_with("slow"));
    assert_eq!(served.until_closed().await, 75 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_taken_slowly_is_no_silence() {
    let mut served = serve(None);
    served.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let began = Instant::now();
    let mut received = 0;
    while received < LARGE {
        received += served.client.read(&mut [0; 8 * 1024]).await.unwrap();
        sleep(SECOND).await;
    }
    assert!(began.elapsed() > 100 * SECOND);
    assert!(served.get("/").await.ends_with("fast"));
}

#[tokio::test(start_paused = true)]
async fn an_evicted_connection_ends_at_once_and_after_its_answer_if_there_is_one() {
    let mut idle = serve(None);
    idle.get("/").await;
    idle.activity.evict();
    assert_eq!(idle.until_closed().await, Duration::ZERO);

    let mut half = serve(None);
    half.get("/").await;
    half.send("GET / HT").await;
    half.activity.evict();
    assert_eq!(half.until_closed().await, Duration::ZERO);

    let mut sent = serve(None);
    sent.get("/").await;
    sent.activity.evict();
    assert!(asks_to_reconnect(&sent.get("/slow").await));
    assert_eq!(sent.until_closed().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn http2_is_spoken_on_the_same_port_and_its_requests_do_not_wait_for_each_other() {
    let mut http2 = serve(None).http2().await;
    let slow = tokio::spawn(http2.get("/slow"));
    assert_eq!(http2.get("/").await.unwrap(), "fast");
    assert!(http2.activity.idle_since().is_none());
    assert_eq!(slow.await.unwrap().unwrap(), "slow");
    assert!(http2.activity.idle_since().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_old_http2_connection_goes_away_and_loses_nothing() {
    let mut http2 = serve(Some(AGE)).http2().await;
    assert_eq!(http2.get("/").await.unwrap(), "fast");
    let slow = tokio::spawn(http2.get("/slow"));
    sleep(AGE - SECOND).await;
    assert_eq!(http2.get("/").await.unwrap(), "fast");
    sleep(2 * SECOND).await;
    assert!(http2.get("/").await.is_err(), "the client knows");
    assert_eq!(slow.await.unwrap().unwrap(), "slow");
    http2.ended.await.unwrap();
    http2.client.await.unwrap();
}

/// The next frame: its type, flags, stream and payload.
async fn next_frame(client: &mut DuplexStream) -> (u8, u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    client.read_exact(&mut head).await.unwrap();
    let [high, middle, low, kind, flags, stream @ ..] = head;
    let length = u32::from_be_bytes([0, high, middle, low]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    client.read_exact(&mut payload).await.unwrap();
    (kind, flags, u32::from_be_bytes(stream), payload)
}

#[tokio::test(start_paused = true)]
async fn a_request_that_crosses_the_last_goaway_breaks_nothing_off() {
    let mut served = serve(Some(AGE));
    let slow = |stream| frame(HEADERS, ALL_HEADERS_AND_NO_BODY, stream, GET_SLOW);
    served
        .client
        .write_all(&[PREFACE, &slow(1)].concat())
        .await
        .unwrap();
    let mut goes_away = false;
    loop {
        match next_frame(&mut served.client).await {
            (GOAWAY, _, _, payload) if goes_away => {
                assert_eq!(payload, [0, 0, 0, 1, 0, 0, 0, 0], "the last is 1, no error");
            }
            (GOAWAY, ..) => goes_away = true,
            (PING, 0, 0, payload) => {
                let mut answer = frame(PING, ACK, 0, &payload);
                if goes_away {
                    // Another request, and room for its answer, from before GOAWAY was read.
                    answer.extend(slow(3));
                    answer.extend(frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 5]));
                }
                // The last PING comes together with the answer and the end of the connection.
                let _ended = served.client.write_all(&answer).await;
            }
            (DATA, _, 1, payload) => break assert_eq!(payload, b"slow"),
            _ => {}
        }
    }
    assert!(goes_away);
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_without_requests_is_silent_however_well_its_client_is() {
    let mut http2 = serve(None).http2().await;
    let began = Instant::now();
    http2.get("/").await.unwrap();
    http2.ended.await.unwrap();
    assert_eq!(began.elapsed(), 75 * SECOND);
    http2.client.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_is_gone_is_noticed_while_it_is_answered() {
    let mut served = serve(None);
    let request = frame(HEADERS, ALL_HEADERS_AND_NO_BODY, 1, GET_SLOW);
    let text = [PREFACE, &request].concat();
    // Then nothing, not even answers to pings.
    served.client.write_all(&text).await.unwrap();
    let began = Instant::now();
    served.ended.await.unwrap();
    assert_eq!(began.elapsed(), PING_INTERVAL + PING_TIMEOUT);
    assert!(
        served.activity.idle_since().is_some(),
        "the request is given up"
    );
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_does_not_take_an_answer_is_disconnected_though_others_go_on() {
    let mut http2 = serve(None).http2().await;
    let began = Instant::now();
    let large = Request::get("http://x/large").body(Empty::new()).unwrap();
    let untaken = http2.sender.send_request(large).await.unwrap();
    while http2.get("/").await.is_ok() {
        sleep(SECOND).await;
    }
    drop(untaken);
    let took = http2.ended.await.unwrap() - began;
    assert!(
        took >= MAX_STALL && took <= 2 * MAX_STALL + SECOND,
        "{took:?}"
    );
    assert!(http2.activity.idle_since().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_takes_an_answer_slowly_or_waits_for_its_parts_gets_all_of_it() {
    let mut http2 = serve(None).http2().await;
    assert_eq!(http2.get("/stream").await.unwrap(), "first second");

    let large = Request::get("http://x/large").body(Empty::new()).unwrap();
    let mut body = http2.sender.send_request(large).await.unwrap().into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame.unwrap().into_data().unwrap().len();
        sleep(SECOND).await;
    }
    assert_eq!(received, LARGE);
}

#[tokio::test(start_paused = true)]
async fn while_the_server_drains_clients_are_asked_to_reconnect() {
    let mut served = serve(None);
    assert!(!asks_to_reconnect(&served.get("/").await));
    served.closing.send_replace(Closing::Elsewhere);
    sleep(SECOND).await;
    assert!(asks_to_reconnect(&served.get("/").await));

    let mut http2 = serve(None).http2().await;
    http2.get("/").await.unwrap();
    http2.closing.send_replace(Closing::Elsewhere);
    http2.ended.await.unwrap();
    http2.client.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_that_begin_during_the_drain_have_their_first_request_answered() {
    let mut served = serve_at(None, Closing::Elsewhere);
    assert!(asks_to_reconnect(&served.get("/").await));

    let mut http2 = serve_at(None, Closing::Elsewhere).http2().await;
    assert_eq!(http2.get("/slow").await.unwrap(), "slow");
    http2.ended.await.unwrap();
    http2.client.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn in_the_end_idle_connections_are_closed_and_requests_answered() {
    let mut idle = serve(None);
    idle.get("/").await;
    idle.closing.send_replace(Closing::AfterRequest);
    assert_eq!(idle.until_closed().await, Duration::ZERO);

    let mut busy = serve(None);
    busy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(SECOND).await;
    busy.closing.send_replace(Closing::AfterRequest);
    assert!(asks_to_reconnect(&busy.answer().await));
    assert_eq!(busy.until_closed().await, Duration::ZERO);

    let orphan = serve(None);
    drop(orphan.closing);
    orphan.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_resets_all_that_it_asks_for_is_disconnected() {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let mut served = serve(None);
    let mut frames = Vec::from(PREFACE);
    for stream in (1..1_000).step_by(2) {
        frames.extend(frame(HEADERS, ALL_HEADERS_AND_NO_BODY, stream, GET_SLOW));
        frames.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    }
    served.client.write_all(&frames).await.unwrap();
    timeout(SECOND, served.ended).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_an_answer_byte_by_byte_is_disconnected() {
    let mut served = serve(None);
    served.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let began = Instant::now();
    while !served.ended.is_finished() {
        served.client.read_u8().await.unwrap();
        sleep(SECOND).await;
    }
    let took = served.ended.await.unwrap() - began;
    assert!(
        took >= MAX_STALL && took <= 2 * MAX_STALL + SECOND,
        "{took:?}"
    );
    assert!(served.activity.idle_since().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_keeps_no_place_and_one_that_is_answered_does() {
    let mut http2 = serve(None).http2().await;
    let stream = Request::get("http://x/stream").body(Empty::new()).unwrap();
    let mut answer = http2.sender.send_request(stream).await.unwrap().into_body();
    sleep(SECOND).await;
    let now = Instant::now();
    assert_eq!(http2.activity.evictable_since(now), None);
    let waiting = Patience::of(Arc::clone(&http2.activity)).wait();
    assert_eq!(http2.activity.evictable_since(now), Some(now));
    drop(waiting);
    http2.activity.evict();
    sleep(SECOND).await;
    assert!(!http2.ended.is_finished(), "something is being done");
    let _waiting = Patience::of(Arc::clone(&http2.activity)).wait();
    timeout(SECOND, http2.ended).await.unwrap().unwrap();
    assert!(answer.frame().await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_memory_until_its_answer_is_taken() {
    let mut served = serve(None);
    assert_eq!(served.budget.used(), 0);
    served
        .client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nX-Y: zz\r\n\r\n")
        .await
        .unwrap();
    sleep(SECOND).await;
    let taken = served.budget.used();
    assert!(taken > REQUEST_BYTES + 512, "{taken}");
    served.answer().await;
    sleep(SECOND).await;
    assert_eq!(served.budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_room_is_refused_without_the_router() {
    let mut served = serve(None);
    let all = served.budget.hold_bytes(BUDGET).unwrap();
    served.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut answer = [0; 12];
    served.client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429");
    drop(all);
    let mut served = serve(None);
    assert!(served.get("/").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_room_is_a_refusal() {
    let mut served = serve(None);
    let _most = served.budget.hold_bytes(BUDGET - LARGE).unwrap();
    served.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut answer = [0; 12];
    served.client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_refusals_is_sent_away() {
    let mut served = serve(None);
    let _all = served.budget.hold_bytes(BUDGET).unwrap();
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let begin = [&PREFACE[..PREFACE.len() - 9], &settings].concat();
    served.client.write_all(&begin).await.unwrap();
    for number in 0..=u32::try_from(MAX_UNPAID).unwrap() {
        assert!(!served.ended.is_finished());
        let head = frame(HEADERS, ALL_HEADERS_AND_NO_BODY, 2 * number + 1, GET_SLOW);
        served.client.write_all(&head).await.unwrap();
        sleep(SECOND / 100).await;
    }
    assert!(served.ended.is_finished());
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_request_may_have_256_headers_and_no_more() {
    for (count, status) in [(256, 200), (257, 431)] {
        let mut http2 = serve(None).http2().await;
        let mut request = Request::get("http://x/");
        for number in 0..count {
            request = request.header(format!("x-{number}"), "");
        }
        let request = request.body(Empty::new()).unwrap();
        let answer = http2.sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{count}");
    }
}
