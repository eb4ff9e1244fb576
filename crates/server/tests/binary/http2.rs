//! HTTP/2 with prior knowledge on the port of HTTP/1.1.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message as _;
use springtide_open_inference::grpc::message::{ModelInferRequest, ModelStreamInferResponse};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::support::{Server, until};

const VALID: &str = r#"{"features": [5.1, 3.5, 1.4, 0.2]}"#;

/// A connection, or none where the server takes none any more.
async fn connect(address: &str) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    Some(sender)
}

/// Asks for a prediction; `false` where the connection was about to end and took no request.
async fn predict(connection: &mut SendRequest<Full<Bytes>>) -> bool {
    let request = Request::post("http://server/predict").body(Full::from(VALID));
    if connection.ready().await.is_err() {
        return false;
    }
    match connection.try_send_request(request.unwrap()).await {
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            let text = to_bytes(Body::new(body), 10_000).await;
            assert_eq!(parts.status, 200, "{text:?}");
            assert!(text.unwrap().starts_with(br#"{"prediction":0"#));
            true
        }
        Err(mut error) => {
            let unsent = error.take_message().is_some()
                || error.error().is_canceled()
                || is_turned_away(error.error());
            assert!(unsent, "a request was lost: {:?}", error.into_error());
            false
        }
    }
}

/// Whether GOAWAY came first: it never ends a request that the server has seen (RFC 9113, section
/// 6.8).
fn is_turned_away(error: &hyper::Error) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .is_some_and(|error| error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
}

/// Runs clients until `done` and returns how many requests were answered over how many connections.
fn load(address: &str, clients: usize, answered: &AtomicUsize, done: &AtomicBool) -> usize {
    Runtime::new().unwrap().block_on(async {
        let connections = (0..clients).map(|_| async {
            let mut connections = 0;
            while !done.load(Ordering::Relaxed)
                && let Some(mut connection) = connect(address).await
            {
                connections += 1;
                while !done.load(Ordering::Relaxed) && predict(&mut connection).await {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
            connections
        });
        futures::future::join_all(connections)
            .await
            .into_iter()
            .sum()
    })
}

#[test]
fn predictions_share_one_connection() {
    let server = Server::start("iris", &[]);
    Runtime::new().unwrap().block_on(async {
        let connection = connect(server.address()).await.unwrap();
        let requests = (0..100).map(|_| {
            let mut connection = connection.clone();
            async move { assert!(predict(&mut connection).await) }
        });
        futures::future::join_all(requests).await;
    });
}

#[test]
fn clients_that_are_asked_to_reconnect_lose_no_request() {
    let server = Server::start("iris", &["--max-connection-age-seconds", "1"]);
    let (answered, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let address = server.address().to_owned();
        let (answered, done) = (&answered, &done);
        let clients = scope.spawn(move || load(&address, 8, answered, done));
        thread::sleep(Duration::from_secs(4));
        done.store(true, Ordering::Relaxed);
        let connections = clients.join().unwrap();
        assert!((8 * 4..=8 * 7).contains(&connections), "{connections}");
    });
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 100);
    let received = server.client().metric("ml_requests_received_total", "");
    assert_eq!(
        received,
        Some(answered as f64),
        "all that arrived was answered"
    );
}

#[test]
fn a_drain_under_load_loses_no_request() {
    let mut server = Server::start("iris", &["--drain-timeout-seconds", "20"]);
    let (answered, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let address = server.address().to_owned();
        let (answered, done) = (&answered, &done);
        let clients = scope.spawn(move || load(&address, 8, answered, done));
        until("load", || answered.load(Ordering::Relaxed) > 200);
        server.terminate();
        let began = Instant::now();
        server.until_log("draining");
        let before = answered.load(Ordering::Relaxed);
        until("answers while draining", || {
            answered.load(Ordering::Relaxed) > before + 20
        });
        // As load balancers do when they have noticed.
        done.store(true, Ordering::Relaxed);
        clients.join().unwrap();
        assert!(server.wait().success());
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn who_watches_the_health_does_not_hold_up_a_drain() {
    let mut server = Server::start("iris", &["--drain-timeout-seconds", "20"]);
    Runtime::new().unwrap().block_on(async {
        let mut connection = connect(server.address()).await.unwrap();
        let watch = Request::post("http://server/grpc.health.v1.Health/Watch")
            .header("content-type", "application/grpc")
            .body(Full::from(&[0; 5][..]));
        let answer = connection.send_request(watch.unwrap()).await.unwrap();
        let mut statuses = answer.into_body();
        assert!(statuses.frame().await.unwrap().is_ok());
        server.terminate();
        let began = Instant::now();
        while let Some(status) = statuses.frame().await {
            status.unwrap();
        }
        assert!(server.wait().success());
        assert!(began.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn idle_streams_are_evicted_for_active_clients() {
    let server = Server::start("iris", &["--max-connections", "1"]);
    Runtime::new().unwrap().block_on(async {
        let pending = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        for (path, body) in [
            ("grpc.health.v1.Health/Watch", Body::from(&[0; 5][..])),
            (
                "inference.GRPCInferenceService/ModelStreamInfer",
                Body::from_stream(pending),
            ),
        ] {
            let stream = TcpStream::connect(server.address()).await.unwrap();
            let (mut sender, connection) = Builder::new(TokioExecutor::new())
                .handshake(TokioIo::new(stream))
                .await
                .unwrap();
            tokio::spawn(connection);
            let call = Request::post(format!("http://server/{path}"))
                .header("content-type", "application/grpc");
            let mut answer = sender.send_request(call.body(body).unwrap()).await.unwrap();
            let began = Instant::now();
            let client = server.client();
            let ready = tokio::task::spawn_blocking(move || client.get("/ready").status);
            assert_eq!(ready.await.unwrap(), 200);
            assert!(began.elapsed() < Duration::from_secs(5), "{path}");
            while let Some(Ok(_message)) = answer.frame().await {}
        }
    });
}

/// A message as gRPC frames it.
fn framed(message: &impl prost::Message) -> Bytes {
    let mut framed = vec![0];
    let length = u32::try_from(message.encoded_len()).unwrap();
    framed.extend(length.to_be_bytes());
    message.encode(&mut framed).unwrap();
    framed.into()
}

#[test]
fn a_stream_may_send_hundreds_of_small_messages_before_it_takes_a_response() {
    const MESSAGES: usize = 500;
    let server = Server::start("iris", &[]);
    let answers = Runtime::new().unwrap().block_on(async {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let call = Request::post("http://x/inference.GRPCInferenceService/ModelStreamInfer")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(());
        let mut sender = sender.ready().await.unwrap();
        let (answer, mut requests) = sender.send_request(call.unwrap(), false).unwrap();
        for number in 0..MESSAGES {
            let request = ModelInferRequest {
                model_name: "model".to_owned(),
                id: number.to_string(),
                ..ModelInferRequest::default()
            };
            requests
                .send_data(framed(&request), number + 1 == MESSAGES)
                .unwrap();
        }
        let mut body = answer.await.unwrap().into_body();
        let mut bytes = Vec::new();
        while let Some(part) = body.data().await {
            let part = part.unwrap();
            body.flow_control().release_capacity(part.len()).unwrap();
            bytes.extend_from_slice(&part);
        }
        bytes
    });
    let (mut rest, mut ids) = (answers.as_slice(), Vec::new());
    while let Some((&[0, a, b, c, d], message)) = rest.split_first_chunk() {
        let (message, after) = message.split_at(u32::from_be_bytes([a, b, c, d]) as usize);
        let answer = ModelStreamInferResponse::decode(message).unwrap();
        // It has no inputs, and is refused; the stream goes on.
        assert!(!answer.error_message.is_empty());
        ids.push(answer.infer_response.unwrap().id);
        rest = after;
    }
    assert_eq!(
        ids,
        (0..MESSAGES).map(|id| id.to_string()).collect::<Vec<_>>()
    );
}
