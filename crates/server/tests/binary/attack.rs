//! Parts of attacks: handwritten HTTP/2 frames, and the memory of the server under attack.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::runtime::Builder;

use crate::support::{HeldOut, PATIENCE, Server, until};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const END_STREAM: u8 = 1;

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW: u16 = 4;

/// What a server may take, in MiB: 80 % of what a pod has where its ModelService doesn't say, and in one of
/// 512 MiB.
pub(crate) const OF_2_GIB: u64 = 2048 / 10 * 8;
pub(crate) const OF_512_MIB: u64 = 512 / 10 * 8;

/// Longest time of a probe: twice what is promised, of a build that is not optimized, beside other tests.
const PROBE_TIME: Duration = Duration::from_secs(2);

/// Between two requests of a client that behaves. Each is answered within [`PATIENCE`]: the server that is
/// tested isn't optimized, so that it works for long on what attackers send. How fast it is beside an attack
/// where it is, `tests/hostile` measures.
const PAUSE: Duration = Duration::from_millis(20);

/// Rounds of the probe and of the client after an attack has sent all that it sends.
const ROUNDS_AFTER: usize = 3;

/// The most bytes that a server ever had in memory.
pub(crate) fn peak_memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.unwrap().trim().strip_suffix(" kB").unwrap();
    kibibytes.trim().parse::<u64>().unwrap() * 1024
}

/// What probes or clients saw while a server was attacked.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    longest: Duration,
    /// How many were answered as they asked, and how many refused for want of memory.
    served: usize,
    refused: usize,
}

/// Ends those who ask beside an attack, also where that panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks again and again until the attack is over. Whether each was served is what `ask` says.
fn ask(over: &AtomicBool, asked: &AtomicUsize, ask: impl Fn() -> bool) -> Seen {
    let mut seen = Seen::default();
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let served = ask();
        seen.longest = seen.longest.max(began.elapsed());
        seen.served += usize::from(served);
        seen.refused += usize::from(!served);
        asked.fetch_add(1, Ordering::Relaxed);
        thread::sleep(PAUSE);
    }
    seen
}

/// Runs an attack beside probes and a client that behaves, of another address. Checks that each of them is
/// answered in time, during the attack and after it, and that the server's memory stays below so many MiB.
/// Returns what the attack leaves open.
#[track_caller]
pub(crate) fn withstands<T>(
    server: &Server,
    name: &str,
    most_mebibytes: u64,
    attack: impl FnOnce() -> T,
) -> T {
    let (over, asked) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 2]);
    let [probes, predictions] = &asked;
    let rows = HeldOut::of("iris");
    let (open, probe, client) = thread::scope(|scope| {
        let over = Over(&over);
        let (health, address) = (server.health_address(), server.address());
        let probing = scope.spawn(|| ask(over.0, probes, || is_alive(health)));
        let predicting = scope.spawn(|| ask(over.0, predictions, || predicts(address, &rows)));
        let open = attack();
        let before = asked.each_ref().map(|count| count.load(Ordering::Relaxed));
        until("probes and predictions after the attack", || {
            let after = asked.iter().zip(before);
            let mut rounds = after.map(|(count, before)| count.load(Ordering::Relaxed) - before);
            rounds.all(|rounds| rounds >= ROUNDS_AFTER)
                || probing.is_finished()
                || predicting.is_finished()
        });
        drop(over);
        (open, probing.join().unwrap(), predicting.join().unwrap())
    });
    let peak = peak_memory(server) >> 20;
    println!("{name}: {peak} MiB, probes {probe:?}, predictions {client:?}");
    assert_eq!(probe.refused, 0, "{name}: probes");
    assert!(probe.longest < PROBE_TIME, "{name}: probes {probe:?}");
    assert!(peak < most_mebibytes, "{name}: {peak} MiB");
    open
}

/// On a connection of its own, as a kubelet asks.
fn is_alive(address: &str) -> bool {
    let stream = TcpStream::connect(address).unwrap();
    let answer = exchange(stream, "GET /health HTTP/1.1\r\n", "");
    answer.starts_with("HTTP/1.1 200 ")
}

/// Whether a prediction is right. Where it is refused for want of memory it isn't.
fn predicts(address: &str, rows: &HeldOut) -> bool {
    let body = serde_json::json!({ "features": &rows.rows[0] }).to_string();
    let stream = connect_from([127, 0, 0, 2], address);
    let answer = exchange(stream, "POST /predict HTTP/1.1\r\n", &body);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if head.starts_with("HTTP/1.1 429 ") {
        return false;
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer:?}");
    let answer: Value = serde_json::from_str(body).unwrap();
    rows.check(0, &answer["prediction"], &answer["confidence"]);
    true
}

/// The answer to the only request of a connection.
fn exchange(mut stream: TcpStream, first_line: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "{first_line}Host: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A connection from another address of this machine.
pub(crate) fn connect_from(host: [u8; 4], address: &str) -> TcpStream {
    let connecting = async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((host, 0).into()).unwrap();
        socket.connect(address.parse().unwrap()).await.unwrap()
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(connecting).into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
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

/// Method, scheme, authority and path, of which none goes into a table.
pub(crate) fn request(method: &str, path: &str) -> Vec<u8> {
    let method = if method == "POST" { 0x83 } else { 0x82 };
    [&[method, 0x86, 1, 1, b'x', 4][..], &text(path)].concat()
}

/// A connection over HTTP/2 of which nobody reads more than the socket takes by itself. The server may send
/// `window` bytes of each answer.
pub(crate) fn http2(address: &str, window: u32) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
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

/// Sends each of these on connections of their own, which stay open.
pub(crate) fn connections(
    address: &str,
    count: usize,
    window: u32,
    bytes: &[u8],
) -> Vec<TcpStream> {
    (0..count)
        .filter_map(|_| {
            let mut stream = http2(address, window)?;
            // A server that has enough hangs up.
            let _refused = stream.write_all(bytes);
            read_some(&mut stream);
            Some(stream)
        })
        .collect()
}

/// The same over HTTP/1; of what nobody takes as much is sent as the sockets hold.
pub(crate) fn over_http1(address: &str, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    (0..count)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.set_nonblocking(true).unwrap();
            let _full = stream.write(bytes);
            Some(stream)
        })
        .collect()
}

/// The head of a call over gRPC.
pub(crate) fn call(path: &str) -> Vec<u8> {
    let kind = field("content-type", "application/grpc");
    [request("POST", path), kind, field("te", "trailers")].concat()
}
