//! Rejected requests, and the requests beside them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;

use crate::support::{HeldOut, PATIENCE, Server};

const VALID: &str = r#"{"features": [5.1, 3.5, 1.4, 0.2]}"#;

#[test]
fn bad_bodies_get_400_413_or_422_with_the_field_and_never_harm_the_next_request() {
    let server = Server::start("iris", &[]);
    let client = server.client();
    let large = format!(
        r#"{{"features": [1, 2, 3, 4], "padding": "{}"}}"#,
        "x".repeat(100_000)
    );
    let rows = format!(r#"{{"features": {:?}}}"#, vec![[1.0, 2.0, 3.0, 4.0]; 33]);
    for (body, status, code, field) in [
        ("", 400, "invalid_json", None),
        ("not JSON", 400, "invalid_json", None),
        ("[5.1, 3.5, 1.4, 0.2]", 400, "invalid_json", None),
        ("{}", 422, "invalid_field", Some("features")),
        (
            r#"{"features": []}"#,
            422,
            "invalid_field",
            Some("features"),
        ),
        (
            r#"{"features": "5.1"}"#,
            422,
            "invalid_field",
            Some("features"),
        ),
        (
            r#"{"features": [5.1, 3.5, 1.4]}"#,
            422,
            "invalid_field",
            Some("features"),
        ),
        (
            r#"{"features": [5.1, 3.5, 1.4, 0.2, 1]}"#,
            422,
            "invalid_field",
            Some("features"),
        ),
        (
            r#"{"features": [5.1, 3.5, "1.4", 0.2]}"#,
            422,
            "invalid_field",
            Some("features[2]"),
        ),
        (
            r#"{"features": [5.1, 3.5, 1.4, NaN]}"#,
            422,
            "invalid_field",
            Some("features[3]"),
        ),
        (
            r#"{"features": [5.1, 3.5, 1.4, -Infinity]}"#,
            422,
            "invalid_field",
            Some("features[3]"),
        ),
        (
            r#"{"features": [5.1, 3.5, 1.4, 1e39]}"#,
            422,
            "invalid_field",
            Some("features[3]"),
        ),
        (
            r#"{"features": [5.1, 3.5, 1.4, 1e999]}"#,
            422,
            "invalid_field",
            Some("features[3]"),
        ),
        (
            r#"{"features": [3e38, 3e38, 3e38, 3e38]}"#,
            422,
            "invalid_field",
            Some("features"),
        ),
        (
            r#"{"features": [[1, 2, 3, 4], [1, 2, 3]]}"#,
            422,
            "invalid_field",
            Some("features[1]"),
        ),
        (
            r#"{"features": [[1, 2, 3, 4], [1, 2, null, 4]]}"#,
            422,
            "invalid_field",
            Some("features[1][2]"),
        ),
        (&rows, 422, "invalid_field", Some("features")),
        (
            r#"{"features": [1, 2, 3, 4], "request_id": 7}"#,
            422,
            "invalid_field",
            Some("request_id"),
        ),
        (&large, 413, "body_too_large", None),
    ] {
        let refused = client.post(body);
        let shown = &body[..body.len().min(80)];
        assert_eq!(refused.code(), (status, code.to_owned()), "{shown}");
        assert_eq!(refused.json()["error"]["field"].as_str(), field, "{shown}");
        assert_eq!(client.post(VALID).status, 200, "after {shown}");
    }
    assert_eq!(client.get("/nothing").code(), (404, "not_found".to_owned()));
    assert_eq!(
        client.get("/predict").code(),
        (405, "method_not_allowed".to_owned())
    );
}

#[test]
fn a_row_that_is_too_extreme_does_not_harm_its_neighbours_in_the_batch() {
    let held_out = HeldOut::of("iris");
    let server = Server::start(
        "iris",
        &[
            "--batching-policy",
            "window",
            "--max-wait-ms",
            "60000",
            "--max-batch-size",
            "4",
        ],
    );
    thread::scope(|scope| {
        let good: Vec<_> = (0..3)
            .map(|row| {
                let (client, features) = (server.client(), &held_out.rows[row]);
                scope.spawn(move || client.predict(features).json())
            })
            .collect();
        let client = server.client();
        client.until_metric("ml_queue_size", "", 3.0);
        let extreme = client.predict(&[3e38; 4]);
        assert_eq!(extreme.code(), (422, "invalid_field".to_owned()));
        for (row, thread) in good.into_iter().enumerate() {
            let json = thread.join().unwrap();
            assert_eq!(json["batch_size"], 4);
            held_out.check(row, &json["prediction"], &json["confidence"]);
        }
    });
}

#[test]
fn a_full_queue_is_429_and_the_server_stays_ready() {
    let server = Server::start(
        "iris",
        &[
            "--batching-policy",
            "window",
            "--max-wait-ms",
            "60000",
            "--max-batch-size",
            "4",
            "--max-queue-rows",
            "3",
        ],
    );
    thread::scope(|scope| {
        let waiting = {
            let client = server.client();
            scope.spawn(move || client.predict(&[[1.0, 2.0, 3.0, 4.0]; 3]))
        };
        let client = server.client();
        client.until_metric("ml_queue_size", "", 3.0);
        let refused = client.post(VALID);
        assert_eq!(refused.code(), (429, "queue_full".to_owned()));
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(client.get("/ready").status, 200);
        client.until_metric("ml_requests_dropped_total", r#"reason="queue_full""#, 1.0);
        server.terminate();
        assert_eq!(
            waiting.join().unwrap().status,
            200,
            "a drain runs what waits"
        );
    });
}

#[test]
fn a_request_that_times_out_is_504_and_dequeued() {
    let server = Server::start(
        "iris",
        &[
            "--batching-policy",
            "window",
            "--max-wait-ms",
            "60000",
            "--request-timeout-ms",
            "200",
        ],
    );
    let client = server.client();
    assert_eq!(client.post(VALID).code(), (504, "timeout".to_owned()));
    client.until_metric("ml_queue_size", "", 0.0);
    client.until_metric("ml_requests_total", r#"status="timeout""#, 1.0);
    client.until_metric("ml_requests_dropped_total", r#"reason="timeout""#, 1.0);
}

#[test]
fn a_client_that_hangs_up_takes_its_request_along() {
    let server = Server::start(
        "iris",
        &["--batching-policy", "window", "--max-wait-ms", "60000"],
    );
    let client = server.client();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let length = VALID.len();
    write!(
        stream,
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{VALID}"
    )
    .unwrap();
    client.until_metric("ml_queue_size", "", 1.0);
    drop(stream);
    client.until_metric("ml_queue_size", "", 0.0);
    client.until_metric("ml_requests_total", r#"status="cancelled""#, 1.0);
    client.until_metric("ml_requests_dropped_total", r#"reason="cancelled""#, 1.0);
}

#[test]
fn a_body_that_does_not_come_is_408_and_the_connection_is_closed() {
    let server = Server::start("iris", &["--request-timeout-ms", "200"]);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("body_too_slow"), "{answer}");
}

/// Reads an answer: its status, and whether the connection ends with it.
fn answer(stream: &mut BufReader<TcpStream>) -> (u16, bool) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let (mut length, mut ends) = (0, false);
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("connection", value)) => ends = value == "close",
            Some(_) | None => {}
        }
    }
    stream.read_exact(&mut vec![0; length]).unwrap();
    (status, ends)
}

#[test]
fn the_connection_of_a_rejection_takes_the_next_request_or_announces_its_end() {
    let server = Server::start("iris", &[]);
    for (path, length, expected) in [
        ("/nothing", 100_000, 404),
        ("/nothing", 20_000_000, 404),
        ("/health", 3_000_000, 405),
        ("/predict", 3_000_000, 413),
        ("/predict", 20_000_000, 413),
        ("/v2/models/none/infer", 3_000_000, 404),
        ("/v2/models/model/infer", 20_000_000, 413),
    ] {
        let mut stream = BufReader::new(TcpStream::connect(server.address()).unwrap());
        stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        // Where it is larger than what is read away, the server may have closed before all is sent.
        let sent = stream.get_mut().write_all(&vec![b'x'; length]);
        let (status, ends) = answer(&mut stream);
        assert_eq!(status, expected, "{path} {length}");
        if ends {
            continue;
        }
        sent.unwrap();
        let length = VALID.len();
        write!(
            stream.get_mut(),
            "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{VALID}"
        )
        .unwrap();
        assert_eq!(answer(&mut stream), (200, false), "{path} {length}");
    }
}
