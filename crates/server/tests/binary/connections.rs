//! The limit of connections, and evictions.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use springtide_server::net::raise_open_files_limit;

use crate::attack::connect_from;
use crate::support::{PATIENCE, Server, binary, model, read_prediction, until};

const CONNECTIONS: usize = 2_000;

const VALID: &str = r#"{"features": [5.1, 3.5, 1.4, 0.2]}"#;

/// A server for [`CONNECTIONS`], in a process that may at first have a few files open.
fn server() -> Server {
    let connections = NonZeroUsize::new(CONNECTIONS + 100).unwrap();
    assert_eq!(
        raise_open_files_limit(connections),
        connections,
        "this test needs as many open files"
    );
    let mut serve = binary();
    serve
        .args(["serve", "--host", "127.0.0.1", "--port", "0"])
        .args(["--max-connections", &CONNECTIONS.to_string()])
        .args(["--max-connections-per-peer", "0"])
        .args(["--model-path".as_ref(), model("iris").as_os_str()]);
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"ulimit -S -n 300 && exec "$0" "$@""#])
        .arg(serve.get_program())
        .args(serve.get_args())
        .env_clear();
    for (name, value) in serve.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    Server::spawn(command)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A connection that had a request and is idle.
fn used(server: &Server) -> TcpStream {
    let mut stream = connect(server.address());
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = [0; 1_024];
    let length = stream.read(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK\r\n"));
    stream
}

/// Whether the server has closed the connection.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn idle_connections_are_evicted_for_probes_and_predictions_the_longest_idle_first() {
    let server = server();
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| used(&server)).collect();
    let began = Instant::now();
    let (probe, client) = (server.client(), server.client());
    assert_eq!(probe.get("/ready").status, 200);
    assert_eq!(client.post(VALID).status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "in time for a probe: {:?}",
        began.elapsed()
    );
    until("room is made", || {
        is_closed(&clients[0]) && is_closed(&clients[1])
    });
    let closed = clients.iter().filter(|client| is_closed(client)).count();
    // On a busy machine one may leave so late that another is sent away too.
    assert!((2..10).contains(&closed), "{closed} were closed");
}

#[test]
fn connections_without_a_complete_request_are_evicted() {
    let server = server();
    let slow: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut stream = connect(server.address());
            stream.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    assert_eq!(server.client().get("/health").status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "in time for a probe: {:?}",
        began.elapsed()
    );
    drop(slow);
}

#[test]
fn clients_that_are_asked_to_reconnect_lose_no_request() {
    let server = Server::start("iris", &["--max-connection-age-seconds", "1"]);
    let ends = Instant::now() + Duration::from_secs(5);
    thread::scope(|scope| {
        for _client in 0..8 {
            let address = server.address().to_owned();
            scope.spawn(move || {
                let mut reconnected = 0;
                while Instant::now() < ends {
                    let mut stream = connect(&address);
                    while predict(&mut stream) {}
                    reconnected += 1;
                }
                // 0.7 to 1 s each.
                assert!((4..=9).contains(&reconnected), "{reconnected} times");
            });
        }
    });
}

/// Asks for a prediction; whether the connection may be used again.
fn predict(stream: &mut TcpStream) -> bool {
    let length = VALID.len();
    write!(
        stream,
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{VALID}"
    )
    .unwrap();
    let answer = read_prediction(stream);
    if !answer.contains("\r\nconnection: close\r\n") {
        return true;
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the server closes it");
    false
}

#[test]
fn a_request_may_have_256_headers_and_no_more() {
    let server = Server::start("iris", &[]);
    for (count, status) in [(101, "200 OK"), (256, "200 OK"), (257, "431 ")] {
        let mut stream = connect(server.address());
        let mut head = "GET /health HTTP/1.1\r\nHost: x\r\n".to_owned();
        for header in 1..count {
            head.push_str(&format!("X-Header-{header}: x\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut answer = [0; 16];
        stream.read_exact(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{count}: {answer}"
        );
    }
}

#[test]
fn idle_connections_are_closed_after_the_idle_timeout() {
    let server = Server::start("iris", &["--idle-timeout-seconds", "1"]);
    let mut stream = used(&server);
    let began = Instant::now();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(server.client().get("/health").status, 200);
}

/// A connection over HTTP/1 of which nobody reads: with so many requests that its answers fill what the
/// sockets hold, so that the server waits for its client.
fn unread(address: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_nonblocking(true).unwrap();
    let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000);
    let _full = stream.write(requests.as_bytes());
    Some(stream)
}

#[test]
fn stalled_clients_block_neither_probes_nor_others() {
    let server = Server::start("iris", &["--max-connections", "16"]);
    let stalled: Vec<_> = (0..60).filter_map(|_| unread(server.address())).collect();
    let began = Instant::now();
    assert_eq!(server.probe().get("/health").status, 200);
    assert_eq!(server.probe().get("/ready").status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "a debug build, beside other tests"
    );
    let mut other = connect_from([127, 0, 0, 2], server.address());
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(predict(&mut other), "another address has its places");
    drop(stalled);
}

#[test]
fn thousands_of_stalled_clients_block_no_probe() {
    let server = server();
    let stalled: Vec<_> = (0..4_300)
        .filter_map(|_| unread(server.address()))
        .collect();
    for _ in 0..5 {
        let began = Instant::now();
        assert_eq!(server.probe().get("/health").status, 200);
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "a debug build, beside other tests"
        );
    }
    drop(stalled);
}

#[test]
fn the_port_for_probes_answers_only_probes() {
    let server = Server::start("iris", &[]);
    let probe = server.probe();
    for path in [
        "/health",
        "/ready",
        "/metrics",
        "/v2/health/live",
        "/v2/health/ready",
    ] {
        assert_eq!(probe.get(path).status, 200, "{path}");
        assert_eq!(server.client().get(path).status, 200, "{path}");
    }
    for path in ["/v2", "/v2/models/model", "/springtide/v1/status"] {
        assert_eq!(probe.get(path).status, 404, "{path}");
    }
    assert_eq!(probe.post(VALID).status, 404);
}

#[test]
fn the_port_for_probes_takes_smaller_heads() {
    let server = Server::start("iris", &[]);
    for (address, bytes, status) in [
        (server.health_address(), 7_000, "200"),
        (server.health_address(), 9_000, "431"),
        (server.address(), 9_000, "200"),
        (server.address(), 66_000, "431"),
    ] {
        let mut stream = connect(address);
        let field = "y".repeat(bytes);
        let head = format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {field}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer, format!("HTTP/1.1 {status}"), "{bytes}");
    }
}
