//! Floods of what costs its sender nothing: each is bounded, and probes and clients are answered beside it.

use std::io::Write;
use std::net::TcpStream;
use std::thread;

use crate::attack::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, OF_512_MIB, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, call, connections, field, frame, http2, read_some, request, withstands,
};
use crate::support::Server;

/// Frames of a flood on each connection, and its connections.
const FRAMES: usize = 20_000;
const CONNECTIONS: usize = 20;

/// A kind of frame that no stream knows (RFC 9113, section 5.5).
const UNKNOWN: u8 = 0xf7;

/// Sends these on connections of which nothing is read before the server hangs up or takes no more.
fn flood(address: &str, first: &[u8], frames: &[u8]) -> Vec<TcpStream> {
    thread::scope(|scope| {
        let streams: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = http2(address, 65_535)?;
                    let _refused = stream.write_all(first);
                    let _refused = stream.write_all(frames);
                    read_some(&mut stream);
                    Some(stream)
                })
            })
            .collect();
        let streams = streams.into_iter();
        streams
            .filter_map(|stream| stream.join().unwrap())
            .collect()
    })
}

#[test]
fn frames_that_ask_for_nothing() {
    let server = Server::start("iris", &[]);
    let head = frame(HEADERS, END_HEADERS, 1, &request("POST", "/predict"));
    let stream = frame(
        HEADERS,
        END_HEADERS,
        1,
        &call("/inference.GRPCInferenceService/ModelStreamInfer"),
    );
    for (name, first, one) in [
        ("PING", &[][..], frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", &[], frame(SETTINGS, 0, 0, &[])),
        (
            "SETTINGS of a table",
            &[],
            frame(SETTINGS, 0, 0, &[0, 1, 0, 1, 0, 0]),
        ),
        ("PRIORITY", &[], frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 7])),
        ("unknown", &[], frame(UNKNOWN, 0, 1, &[0; 8])),
        (
            "WINDOW_UPDATE",
            &head,
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        ),
        ("empty DATA", &head, frame(DATA, 0, 1, &[])),
        ("empty DATA of a stream", &stream, frame(DATA, 0, 1, &[])),
        (
            "padding alone",
            &head,
            frame(DATA, 8, 1, &[&[200][..], &[0; 200]].concat()),
        ),
    ] {
        let frames = one.repeat(FRAMES);
        let open = withstands(&server, name, OF_512_MIB, || {
            flood(server.address(), first, &frames)
        });
        drop(open);
    }
}

#[test]
fn requests_that_are_reset_at_once() {
    let server = Server::start("iris", &[]);
    let head = request("GET", "/metrics");
    let resets = (0..10_000).map(|number| {
        let stream = 2 * number + 1;
        let opened = frame(HEADERS, END_HEADERS, stream, &head);
        // CANCEL
        [opened, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    let resets = resets.collect::<Vec<_>>().concat();
    // What makes the server reset them: a window that overflows.
    let overflows = (0..10_000).map(|number| {
        let stream = 2 * number + 1;
        let opened = frame(HEADERS, END_HEADERS, stream, &head);
        let most = 0x7fff_ffff_u32.to_be_bytes();
        [opened, frame(WINDOW_UPDATE, 0, stream, &most)].concat()
    });
    let overflows = overflows.collect::<Vec<_>>().concat();
    for (name, frames) in [("RST_STREAM", resets), ("overflows", overflows)] {
        let open = withstands(&server, name, OF_512_MIB, || {
            flood(server.address(), &[], &frames)
        });
        drop(open);
    }
}

#[test]
fn heads_that_never_end() {
    let server = Server::start("iris", &[]);
    let first = frame(HEADERS, 0, 1, &request("POST", "/predict"));
    let field = field("x", &"y".repeat(1_500));
    let empty = frame(CONTINUATION, 0, 1, &[]);
    let small = frame(CONTINUATION, 0, 1, &field);
    let cut = frame(CONTINUATION, 0, 1, &field[..1_000]);
    for (name, more) in [
        ("empty CONTINUATION", empty.repeat(FRAMES)),
        ("CONTINUATION", small.repeat(1_000)),
        ("few CONTINUATION", small.repeat(5)),
        ("CONTINUATION of one field", cut.repeat(5)),
    ] {
        let bytes = [&first[..], &more].concat();
        let open = withstands(&server, name, OF_512_MIB, || {
            connections(server.address(), 300, 65_535, &bytes)
        });
        drop(open);
    }
}
