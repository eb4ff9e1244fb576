use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::FutureExt;
use springtide_contract::batching::{BatchingReason, BatchingStatus, ModelStatus, ServerStatus};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn status() -> ServerStatus {
    ServerStatus {
        memory: None,
        models: vec![ModelStatus {
            name: "iris".to_owned(),
            version: "1".to_owned(),
            sha256: None,
            batching: BatchingStatus {
                enabled: true,
                reason: BatchingReason::Proven,
                message: "rows are independent".to_owned(),
            },
        }],
    }
}

/// A client whose timeouts a busy machine doesn't reach.
fn patient() -> HttpPodStatusClient {
    const HOUR: Duration = Duration::from_secs(3600);
    HttpPodStatusClient::within(HOUR, HOUR)
}

/// A pod that answers one connection with these bytes, and the head of the request that it got.
async fn pod(host: IpAddr, answer: Vec<u8>) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    (listener.local_addr().unwrap(), serve(listener, answer))
}

fn serve(listener: TcpListener, answer: Vec<u8>) -> JoinHandle<String> {
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap());
        }
        // The client may have hung up by now.
        let _ = connection.write_all(&answer).await;
        String::from_utf8(head).unwrap()
    })
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

async fn said(answer: Vec<u8>) -> StatusReply {
    let (address, _) = pod(LOOPBACK, answer).await;
    patient().ask(address).await
}

#[tokio::test]
async fn the_status_of_a_pod_is_parsed() {
    let body = serde_json::to_vec(&status()).unwrap();
    let (address, request) = pod(LOOPBACK, answer("200 OK", &body)).await;
    assert_eq!(patient().ask(address).await, StatusReply::Status(status()));
    let request = request.await.unwrap();
    assert!(
        request.starts_with("GET /springtide/v1/status HTTP/1.1\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn a_pod_with_an_ipv6_address_is_asked_in_brackets() {
    let body = serde_json::to_vec(&status()).unwrap();
    let host = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let (address, request) = pod(host, answer("200 OK", &body)).await;
    assert_eq!(patient().ask(address).await, StatusReply::Status(status()));
    let host = format!("host: [::1]:{}\r\n", address.port());
    let request = request.await.unwrap();
    assert!(request.to_lowercase().contains(&host), "{request}");
}

#[tokio::test]
async fn a_server_without_the_endpoint_is_unreadable() {
    for (status, body) in [
        ("404 Not Found", "not found".to_owned()),
        ("302 Found", String::new()),
        ("200 OK", "not JSON".to_owned()),
        (
            "200 OK",
            serde_json::to_string(&self::status())
                .unwrap()
                .replace("Proven", "Foreseen"),
        ),
        // Deeper and longer than anything that is to be read.
        ("200 OK", "[".repeat(MAX_BYTES)),
        (
            "200 OK",
            format!("{{\"models\":[]}}{}", " ".repeat(MAX_BYTES)),
        ),
    ] {
        let got = said(answer(status, body.as_bytes())).await;
        assert_eq!(got, StatusReply::Unreadable, "{status} {body:.40}");
    }
}

#[tokio::test]
async fn a_pod_that_fails_is_unreachable() {
    for bytes in [
        answer("500 Internal Server Error", b""),
        answer("503 Service Unavailable", b""),
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"models\":".to_vec(),
        b"HTTP/1.1 200".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        [
            b"HTTP/1.1 200 OK\r\nx: ".to_vec(),
            vec![b'x'; 2 * MAX_BYTES],
        ]
        .concat(),
        Vec::new(),
    ] {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(said(bytes).await, StatusReply::Unreachable, "{shown:.40}");
    }
}

#[tokio::test]
async fn an_unreachable_pod_is_not_queried_for_a_while() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let pod_status = patient();
    assert_eq!(pod_status.ask(address).await, StatusReply::Unreachable);

    let listener = TcpListener::bind(address).await.unwrap();
    assert_eq!(pod_status.ask(address).await, StatusReply::Unreachable);
    let connected = listener.accept().now_or_never();
    assert!(connected.is_none(), "it is not tried again");

    tokio::time::pause();
    tokio::time::advance(UNREACHABLE_FOR).await;
    tokio::time::resume();
    let body = serde_json::to_vec(&status()).unwrap();
    let request = serve(listener, answer("200 OK", &body));
    assert_eq!(pod_status.ask(address).await, StatusReply::Status(status()));
    request.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_query_without_a_reply_times_out() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let begun = tokio::time::Instant::now();
    let pod_status = HttpPodStatusClient::within(2 * QUERY_TIMEOUT, QUERY_TIMEOUT);
    assert_eq!(pod_status.ask(address).await, StatusReply::Unreachable);
    assert_eq!(begun.elapsed(), QUERY_TIMEOUT);
}

/// A pod that answers once all of them have been asked.
struct Together(tokio::sync::Barrier);

impl PodStatusClient for Together {
    fn ask(&self, address: SocketAddr) -> BoxFuture<'_, StatusReply> {
        Box::pin(async move {
            self.0.wait().await;
            if address.port() == 1 {
                StatusReply::Unreachable
            } else {
                StatusReply::Unreadable
            }
        })
    }
}

#[tokio::test]
async fn pods_are_queried_concurrently_and_their_replies_are_in_order() {
    let addresses = [1, 2, 1].map(|port| SocketAddr::new(LOOPBACK, port));
    let together = Together(tokio::sync::Barrier::new(addresses.len()));
    assert_eq!(
        query_all(&together, &addresses).await,
        [
            StatusReply::Unreachable,
            StatusReply::Unreadable,
            StatusReply::Unreachable
        ]
    );
}
