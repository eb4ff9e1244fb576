//! Attacks on the server's memory: each is bounded, and what the server takes stays below what a pod has.

use crate::attack::{
    DATA, END_HEADERS, END_STREAM, HEADERS, OF_512_MIB, call, connections, field, frame,
    over_http1, remembered, request, withstands,
};
use crate::support::Server;

const INFER_STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// A message of gRPC that asks for nothing: its answer is an error in the stream.
const EMPTY_MESSAGE: [u8; 5] = [0; 5];

/// Requests of a connection, all with the same head.
fn requests(count: u32, flags: u8, first: &[u8], others: &[u8]) -> Vec<u8> {
    let heads = (0..count).map(|number| {
        let head = if number == 0 { first } else { others };
        frame(HEADERS, flags | END_HEADERS, 2 * number + 1, head)
    });
    heads.collect::<Vec<_>>().concat()
}

#[test]
fn large_heads_of_requests_that_never_end() {
    let server = Server::start("iris", &[]);
    let head = [request("POST", "/predict"), field("x", &"y".repeat(15_800))].concat();
    let open = withstands(&server, "large heads", OF_512_MIB, || {
        connections(
            server.address(),
            230,
            65_535,
            &requests(100, 0, &head, &head),
        )
    });
    drop(open);
}

#[test]
fn heads_of_many_fields_that_are_one_entry_of_a_table() {
    let server = Server::start("iris", &[]);
    for fields in [450, 250] {
        let entry = [request("POST", "/predict"), remembered("x", "y")].concat();
        let head = [request("POST", "/predict"), vec![0xbe; fields]].concat();
        let bytes = requests(100, 0, &entry, &head);
        let open = withstands(&server, &format!("{fields} fields"), OF_512_MIB, || {
            connections(server.address(), 150, 65_535, &bytes)
        });
        drop(open);
    }
}

#[test]
fn answers_that_nobody_takes() {
    let server = Server::start("iris", &[]);
    for path in ["/metrics", "/health", "/v2/models/stats", "/nothing"] {
        let head = request("GET", path);
        let bytes = requests(100, END_STREAM, &head, &head);
        let open = withstands(&server, path, OF_512_MIB, || {
            connections(server.address(), 120, 0, &bytes)
        });
        drop(open);
    }
}

#[test]
fn answers_over_http1_that_nobody_takes() {
    let server = Server::start("iris", &[]);
    let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    let open = withstands(&server, "pipelining", OF_512_MIB, || {
        over_http1(server.address(), 400, requests.as_bytes())
    });
    drop(open);
}

#[test]
fn heads_over_http1_that_never_end() {
    let server = Server::start("iris", &[]);
    let head = format!(
        "GET /health HTTP/1.1\r\nHost: x\r\nX: {}",
        "y".repeat(60_000)
    );
    let open = withstands(&server, "heads over HTTP/1", OF_512_MIB, || {
        over_http1(server.address(), 2_000, head.as_bytes())
    });
    drop(open);
}

/// Calls with streams of messages, of which the first is answered at once, though nobody takes that: what
/// comes after it isn't read.
fn unread(
    path: &str,
    streams: u32,
    first_stream: u32,
    first: &[u8],
    more: impl Fn(u32) -> Vec<u8>,
) -> Vec<u8> {
    let head = call(path);
    let calls = (0..streams).map(|number| {
        let stream = 2 * number + first_stream;
        [
            frame(HEADERS, END_HEADERS, stream, &head),
            frame(DATA, 0, stream, first),
            more(stream),
        ]
        .concat()
    });
    calls.collect::<Vec<_>>().concat()
}

#[test]
fn messages_that_are_not_read_yet() {
    let server = Server::start("iris", &[]);
    let large = |stream| frame(DATA, 0, stream, &[0; 16_000]).repeat(4);
    let small = |stream| frame(DATA, 0, stream, &[0; 1]).repeat(60_000);
    let padded = |stream| frame(DATA, 8, stream, &[0xff; 257]).repeat(200);
    let sent: [(&str, Vec<u8>); 3] = [
        (
            "large parts",
            unread(INFER_STREAM, 1, 1, &EMPTY_MESSAGE, large),
        ),
        (
            "small parts",
            unread(INFER_STREAM, 1, 1, &EMPTY_MESSAGE, small),
        ),
        (
            "padded parts",
            unread(INFER_STREAM, 1, 1, &EMPTY_MESSAGE, padded),
        ),
    ];
    for (name, bytes) in sent {
        let open = withstands(&server, name, OF_512_MIB, || {
            connections(server.address(), 500, 0, &bytes)
        });
        drop(open);
    }
}

#[test]
fn trailers_that_are_not_read_yet() {
    let server = Server::start("iris", &[]);
    let trailers = |fields: &[u8], stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, fields);
    let names: Vec<_> = (0..400).map(|name| field(&format!("{name}"), "")).collect();
    let names = names.concat();
    // As many as are let through, which stand in the table.
    let table: Vec<_> = (0..120)
        .map(|name| remembered(&format!("{name}"), ""))
        .collect();
    let table = [call(INFER_STREAM), table.concat()].concat();
    let begin = frame(HEADERS, END_STREAM | END_HEADERS, 1, &table);
    let known: Vec<_> = (0xbe..=0xfe).collect();
    let known_names = unread(INFER_STREAM, 100, 3, &EMPTY_MESSAGE, |stream| {
        trailers(&known, stream)
    });
    for (name, bytes) in [
        (
            "names",
            unread(INFER_STREAM, 100, 1, &EMPTY_MESSAGE, |stream| {
                trailers(&names, stream)
            }),
        ),
        (
            "unasked",
            unread("/health", 100, 1, b"", |stream| trailers(&names, stream)),
        ),
        ("table", [begin, known_names].concat()),
    ] {
        let open = withstands(&server, name, OF_512_MIB, || {
            connections(server.address(), 150, 0, &bytes)
        });
        drop(open);
    }
}

#[test]
fn questions_about_the_services_whose_answers_nobody_takes() {
    let server = Server::start("iris", &[]);
    // file_containing_symbol
    let symbol = b"inference.GRPCInferenceService";
    let question = [&[0, 0, 0, 0, 32, 0x22, 30], &symbol[..]].concat();
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let more = |stream| frame(DATA, 0, stream, &question.repeat(10));
    let bytes = unread(path, 100, 1, &question, more);
    let open = withstands(&server, "reflection", OF_512_MIB, || {
        connections(server.address(), 150, 0, &bytes)
    });
    drop(open);
}
