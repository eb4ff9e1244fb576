//! Nothing is lost between SIGTERM and the exit.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Server;

const VALID: &str = r#"{"features": [5.1, 3.5, 1.4, 0.2]}"#;

#[test]
fn an_idle_server_ends_at_once_and_without_an_error() {
    let mut server = Server::start("iris", &[]);
    let began = Instant::now();
    server.terminate();
    assert!(server.wait().success());
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn what_was_accepted_is_answered_and_readiness_goes_first() {
    let mut server = Server::start("iris", &["--drain-timeout-seconds", "20"]);
    // In flight until its last byte is there.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let (head, last) = VALID.split_at(VALID.len() - 1);
    let length = VALID.len();
    write!(
        stream,
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{head}"
    )
    .unwrap();
    server
        .client()
        .until_metric("ml_requests_received_total", "", 1.0);
    server.terminate();
    server.until_log("draining");
    let ready = server.client().get("/ready");
    assert_eq!(ready.code(), (503, "draining".to_owned()));
    assert_eq!(ready.headers["connection"], "close");
    assert_eq!(server.client().get("/health").status, 200);
    assert_eq!(
        server.client().post(VALID).status,
        200,
        "latecomers are served too"
    );
    stream.write_all(last.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(server.wait().success());
}

#[test]
fn a_drain_does_not_wait_for_a_batch_to_fill() {
    let mut server = Server::start(
        "iris",
        &["--batching-policy", "window", "--max-wait-ms", "60000"],
    );
    thread::scope(|scope| {
        let client = server.client();
        let waiting = scope.spawn(move || client.post(VALID));
        server.client().until_metric("ml_queue_size", "", 1.0);
        server.terminate();
        assert_eq!(waiting.join().unwrap().status, 200);
    });
    assert!(server.wait().success());
}

#[test]
fn a_drain_under_load_loses_no_request() {
    let arguments = [
        "--batching-policy",
        "window",
        "--max-wait-ms",
        "20",
        "--drain-timeout-seconds",
        "20",
    ];
    let mut server = Server::start("iris", &arguments);
    let answered = AtomicUsize::new(0);
    let terminated = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                let client = server.client();
                let (answered, terminated) = (&answered, &terminated);
                scope.spawn(move || {
                    loop {
                        // As a proxy does, each goes on until it is asked to go elsewhere.
                        let answer = client.try_post(VALID).expect("a request was lost");
                        assert_eq!(answer.status, 200, "{}", answer.text);
                        answered.fetch_add(1, Ordering::Relaxed);
                        if answer
                            .headers
                            .get("connection")
                            .is_some_and(|value| value == "close")
                        {
                            assert!(
                                terminated.load(Ordering::Relaxed),
                                "sent away without a reason"
                            );
                            return;
                        }
                    }
                })
            })
            .collect();
        crate::support::until("load", || answered.load(Ordering::Relaxed) > 200);
        terminated.store(true, Ordering::Relaxed);
        server.terminate();
        for client in clients {
            client.join().unwrap();
        }
    });
    assert!(server.wait().success());
}

#[test]
fn a_silent_connection_does_not_hold_the_end_up() {
    let mut server = Server::start(
        "iris",
        &[
            "--request-timeout-ms",
            "500",
            "--drain-timeout-seconds",
            "1",
        ],
    );
    // A client that keeps its connection open and says nothing.
    let idle = TcpStream::connect(server.address()).unwrap();
    let began = Instant::now();
    server.terminate();
    assert!(server.wait().success());
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    drop(idle);
}
