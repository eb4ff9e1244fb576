//! What attacks are made of: frames of HTTP/2 written by hand, and the memory of the server under them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::Server;

pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const END_STREAM: u8 = 1;

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW: u16 = 4;

/// What a pod's server may take where its ModelService doesn't say: 80 % of 2 GiB.
pub(crate) const MAX_RESIDENT: u64 = (2 << 30) / 10 * 8;

/// Longest time of a probe: of a debug build, with other tests beside it. The bar of 1 s is for the release
/// build.
const PROBE_TIME: Duration = Duration::from_secs(10);

/// The most bytes that a server ever had in memory.
pub(crate) fn peak_memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.unwrap().trim().strip_suffix(" kB").unwrap();
    kibibytes.trim().parse::<u64>().unwrap() * 1024
}

/// Checks that a server under attack answers probes and predictions, and stayed within its memory.
#[track_caller]
pub(crate) fn survives(server: &Server, attack: &str) {
    let began = Instant::now();
    assert_eq!(server.probe().get("/health").status, 200, "{attack}");
    let took = began.elapsed();
    assert!(took < PROBE_TIME, "{attack}: a probe took {took:?}");
    let peak = peak_memory(server);
    assert!(peak < MAX_RESIDENT, "{attack}: {peak} bytes");
}

/// A frame (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()];
    [&head.concat(), payload].concat()
}

/// A string of HPACK that isn't compressed (RFC 7541, section 5.2).
fn text(text: &str) -> Vec<u8> {
    let length = text.len();
    let mut bytes = Vec::new();
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap());
    } else {
        bytes.push(127);
        let mut rest = length - 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap());
    }
    [&bytes, text.as_bytes()].concat()
}

/// A field that goes into no table.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// A field that goes into the dynamic table, where it is number 62.
pub(crate) fn remembered(name: &str, value: &str) -> Vec<u8> {
    [&[0x40][..], &text(name), &text(value)].concat()
}

/// Method, scheme, authority and path.
pub(crate) fn request(method: &str, path: &str) -> Vec<u8> {
    let method = if method == "POST" { 0x83 } else { 0x82 };
    [&[method, 0x86, 0x41, 1, b'x', 0x44][..], &text(path)].concat()
}

/// A connection over HTTP/2 of which nobody reads more than the socket takes by itself. The server may send
/// `window` bytes of each answer.
pub(crate) fn http2(server: &Server, window: u32) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(server.address()).ok()?;
    stream
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let setting = [&INITIAL_WINDOW.to_be_bytes()[..], &window.to_be_bytes()].concat();
    let begin = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &setting),
    ];
    stream.write_all(&begin.concat()).ok()?;
    Some(stream)
}

/// Reads what has come, so that the server can go on.
pub(crate) fn read_some(stream: &mut TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = [0; 65_536];
    while stream.read(&mut bytes).is_ok_and(|length| length > 0) {}
    stream.set_nonblocking(false).unwrap();
}
