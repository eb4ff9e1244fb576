//! Attacks on the server's memory: each is bounded, and the server stays below the memory limit of a pod.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::attack::{
    DATA, END_HEADERS, END_STREAM, HEADERS, OF_2_GIB, OF_512_MIB, call, connections, field, frame,
    over_http1, remembered, request, withstands,
};
use crate::support::{PATIENCE, Server, binary, model, serving};

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

/// What serves iris.
pub(crate) fn iris() -> Command {
    serving(binary(), &model("iris"))
}

/// A folder with iris and a model that takes texts and gives them twice.
pub(crate) fn iris_and_letters() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let letters =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/tests/models/letters.onnx");
    for (name, file) in [("iris", model("iris")), ("letters", letters)] {
        let version = folder.path().join(name).join("1");
        fs::create_dir_all(&version).unwrap();
        fs::copy(file, version.join("model.onnx")).unwrap();
    }
    folder
}

/// What serves these, of any number of texts.
pub(crate) fn serving_folder(folder: &Path) -> Command {
    let mut command = binary();
    command
        .args(["serve", "--host", "127.0.0.1", "--port", "0"])
        .args(["--batching-mode", "never", "--model-name", "iris"])
        // Memory is to decide, and not how busy this machine is.
        .args(["--request-timeout-ms", "60000"])
        .args(["--model-dir".as_ref(), folder.as_os_str()]);
    command
}

/// Large heads of requests that never end.
pub(crate) fn large_heads(server: &Server, most_mebibytes: u64) {
    let head = [request("POST", "/predict"), field("x", &"y".repeat(15_800))].concat();
    let bytes = requests(100, 0, &head, &head);
    let open = withstands(server, "large heads", most_mebibytes, || {
        connections(server.address(), 150, 65_535, &bytes)
    });
    drop(open);
}

/// Heads of many fields that are one entry of a table.
pub(crate) fn heads_of_one_entry(server: &Server, most_mebibytes: u64) {
    for fields in [450, 250] {
        let entry = [request("POST", "/predict"), remembered("x", "y")].concat();
        let head = [request("POST", "/predict"), vec![0xbe; fields]].concat();
        let bytes = requests(100, 0, &entry, &head);
        let name = format!("{fields} fields");
        let open = withstands(server, &name, most_mebibytes, || {
            connections(server.address(), 150, 65_535, &bytes)
        });
        drop(open);
    }
}

/// Requests of about so many bytes for the model of texts: in JSON and in the binary form, each with its
/// bytes of JSON.
fn requests_of_texts(bytes: usize) -> [(&'static str, Vec<u8>, usize); 2] {
    let texts = bytes / r#""a","#.len();
    let data = vec![r#""a""#; texts].join(",");
    let input = format!(r#""name":"text","shape":[{texts}],"datatype":"BYTES""#);
    let json = format!(r#"{{"inputs":[{{{input},"data":[{data}]}}]}}"#).into_bytes();
    let data = [1, 0, 0, 0, b'a'].repeat(bytes / 5);
    let (texts, length) = (bytes / 5, data.len());
    let input = format!(r#""name":"text","shape":[{texts}],"datatype":"BYTES""#);
    let size = format!(r#""parameters":{{"binary_data_size":{length}}}"#);
    let head = format!(r#"{{"inputs":[{{{input},{size}}}]}}"#);
    let json_length = json.len();
    let binary = [head.as_bytes(), &data].concat();
    [("JSON", json, json_length), ("binary", binary, head.len())]
}

/// Many clients at once with many short texts each.
pub(crate) fn texts(server: &Server, most_mebibytes: u64) {
    const CLIENTS: usize = 32;
    let address = server.address();
    for (name, body, json_length) in requests_of_texts(2 << 20) {
        let answers = withstands(server, name, most_mebibytes, || {
            thread::scope(|scope| {
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|_| scope.spawn(|| infer(address, &body, json_length)))
                    .collect();
                let clients = clients.into_iter();
                clients
                    .map(|client| client.join().unwrap())
                    .collect::<Vec<_>>()
            })
        });
        println!("{name}: {answers:?}");
        // Bodies that came together may leave no room for the texts of any of them.
        let expected = |status| [200, 429].contains(status);
        assert!(answers.iter().all(expected), "{name}: {answers:?}");
    }
    for (name, body, json_length) in requests_of_texts(1 << 20) {
        assert_eq!(infer(address, &body, json_length), 200, "{name}: one alone");
    }
}

/// The status of the answer.
fn infer(address: &str, body: &[u8], json_length: usize) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "POST /v2/models/letters/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Length: {length}\r\nInference-Header-Content-Length: {json_length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // One that is refused may be closed before all was sent.
    let _refused = stream.write_all(body);
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    let _rest = std::io::copy(&mut stream, &mut std::io::sink());
    str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

#[test]
fn large_heads_of_requests_that_never_end() {
    large_heads(&Server::spawn(iris()), OF_512_MIB);
}

#[test]
fn heads_of_many_fields_that_are_one_entry_of_a_table() {
    heads_of_one_entry(&Server::spawn(iris()), OF_512_MIB);
}

#[test]
fn texts_of_many_clients() {
    let folder = iris_and_letters();
    let server = Server::spawn(serving_folder(folder.path()));
    texts(&server, OF_2_GIB);
}

#[test]
fn responses_that_are_not_taken() {
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
fn responses_over_http1_that_are_not_taken() {
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
fn reflection_responses_that_are_not_taken() {
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

/// So many bytes of nothing, compressed.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; bytes]).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bombs_of_compression() {
    let server = Server::spawn(iris());
    let bomb = bomb(8 << 20);
    let encoded = [
        call("/inference.GRPCInferenceService/ModelInfer"),
        field("grpc-encoding", "gzip"),
    ];
    let head = encoded.concat();
    let length = u32::try_from(bomb.len()).unwrap().to_be_bytes();
    let message = [&[1], &length[..], &bomb].concat();
    // As much as fits into the window of a connection.
    let cut = message
        .chunks(16_000)
        .map(<[u8]>::to_vec)
        .collect::<Vec<_>>();
    let mut over_grpc = frame(HEADERS, END_HEADERS, 1, &head);
    for (number, part) in cut.iter().enumerate() {
        let flags = if number + 1 == cut.len() {
            END_STREAM
        } else {
            0
        };
        over_grpc.extend(frame(DATA, flags, 1, part));
    }
    assert!(message.len() < 65_535, "{}", message.len());
    let length = bomb.len();
    let head = format!(
        "POST /v2/models/model/infer HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let over_http1_bytes = [head.as_bytes(), &bomb].concat();
    let open = withstands(&server, "gRPC", OF_512_MIB, || {
        connections(server.address(), 20, 65_535, &over_grpc)
    });
    drop(open);
    let open = withstands(&server, "HTTP", OF_512_MIB, || {
        over_http1(server.address(), 20, &over_http1_bytes)
    });
    drop(open);
}
