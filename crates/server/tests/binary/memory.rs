//! Attacks on the server's memory: each is bounded, and what the server takes stays below what a pod has.

use std::io::Write;
use std::net::TcpStream;

use crate::attack::{
    END_HEADERS, END_STREAM, HEADERS, field, frame, http2, read_some, remembered, request, survives,
};
use crate::support::{HeldOut, Server};

/// Sends each of these on connections of their own, which stay open.
fn connections(server: &Server, count: usize, window: u32, bytes: &[u8]) -> Vec<TcpStream> {
    (0..count)
        .filter_map(|_| {
            let mut stream = http2(server, window)?;
            // A server that has enough hangs up.
            let _refused = stream.write_all(bytes);
            read_some(&mut stream);
            Some(stream)
        })
        .collect()
}

/// Requests of a connection, all with the same head.
fn requests(count: u32, flags: u8, first: &[u8], others: &[u8]) -> Vec<u8> {
    let heads = (0..count).map(|number| {
        let head = if number == 0 { first } else { others };
        frame(HEADERS, flags | END_HEADERS, 2 * number + 1, head)
    });
    heads.collect::<Vec<_>>().concat()
}

#[track_caller]
fn predicts(server: &Server) {
    let rows = HeldOut::of("iris");
    let answer = server.client().predict(&rows.rows[0]);
    if answer.status != 429 {
        let answer = answer.json();
        rows.check(0, &answer["prediction"], &answer["confidence"]);
    }
}

#[test]
fn large_heads_of_requests_that_never_end() {
    let server = Server::start("iris", &[]);
    let head = [request("POST", "/predict"), field("x", &"y".repeat(15_800))].concat();
    let open = connections(&server, 230, 65_535, &requests(250, 0, &head, &head));
    survives(&server, "large heads");
    predicts(&server);
    drop(open);
}

#[test]
fn heads_of_many_fields_that_are_one_entry_of_a_table() {
    let server = Server::start("iris", &[]);
    for (fields, connections_) in [(450, 230), (250, 230)] {
        let entry = [request("POST", "/predict"), remembered("x", "y")].concat();
        let head = [request("POST", "/predict"), vec![0xbe; fields]].concat();
        let open = connections(
            &server,
            connections_,
            65_535,
            &requests(250, 0, &entry, &head),
        );
        survives(&server, &format!("{fields} fields"));
        predicts(&server);
        drop(open);
    }
}

#[test]
fn answers_that_nobody_takes() {
    let server = Server::start("iris", &[]);
    for path in ["/metrics", "/health", "/v2/models/stats", "/nothing"] {
        let head = request("GET", path);
        let bytes = requests(100, END_STREAM, &head, &head);
        let open = connections(&server, 500, 0, &bytes);
        survives(&server, path);
        drop(open);
    }
}

#[test]
fn heads_over_http1_that_never_end() {
    let server = Server::start("iris", &[]);
    let head = format!(
        "GET /health HTTP/1.1\r\nHost: x\r\nX: {}",
        "y".repeat(60_000)
    );
    let open: Vec<_> = (0..2_000)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(server.address()).ok()?;
            stream.write_all(head.as_bytes()).ok()?;
            Some(stream)
        })
        .collect();
    survives(&server, "heads over HTTP/1");
    drop(open);
}
