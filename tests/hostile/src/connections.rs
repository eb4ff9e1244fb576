//! Hostile connections: their bytes, their duration, and their end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};

use crate::attacker::connect;
use crate::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, field,
    frame, request,
};
use crate::pace::Pace;
use crate::tally::{Came, Tally, What};

/// Maximum duration of a connection.
const STAY: Duration = Duration::from_secs(2);

/// Number of attempts to open a connection.
const TRIES: usize = 10;

/// Number of frames of a flood.
const FLOOD: u32 = 300;

/// Receive buffer of connections that read nothing, in bytes.
const NARROW: u32 = 4_096;

/// Bytes of a large header: slightly less than the HTTP/2 limit of servers by default.
const LARGE: usize = 15_800;

/// `SETTINGS_INITIAL_WINDOW_SIZE` with the value 0.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

/// The kind of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Abandoned,
    PartialHead,
    PartialBody,
    BadChunks,
    ReadsNothing,
    NoWindow,
    GarbageFrames,
    ResetFlood,
    SettingsFlood,
    PingFlood,
    UnfinishedPosts,
    EndlessHead,
    RandomBytes,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Abandoned,
        Self::PartialHead,
        Self::PartialBody,
        Self::BadChunks,
        Self::ReadsNothing,
        Self::NoWindow,
        Self::GarbageFrames,
        Self::ResetFlood,
        Self::SettingsFlood,
        Self::PingFlood,
        Self::UnfinishedPosts,
        Self::EndlessHead,
        Self::RandomBytes,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned at once",
            Self::PartialHead => "partial head",
            Self::PartialBody => "partial body",
            Self::BadChunks => "bad chunks",
            Self::ReadsNothing => "reads nothing",
            Self::NoWindow => "no window of HTTP/2",
            Self::GarbageFrames => "garbage frames",
            Self::ResetFlood => "RST_STREAM flood",
            Self::SettingsFlood => "SETTINGS flood",
            Self::PingFlood => "PING flood",
            Self::UnfinishedPosts => "unfinished POSTs",
            Self::EndlessHead => "endless head",
            Self::RandomBytes => "random bytes",
        }
    }

    /// Whether it reads responses.
    const fn reads(self) -> bool {
        !matches!(
            self,
            Self::Abandoned
                | Self::ReadsNothing
                | Self::NoWindow
                | Self::SettingsFlood
                | Self::PingFlood
        )
    }
}

/// A hostile connection.
#[derive(Debug, PartialEq)]
struct Script {
    kind: Kind,
    bytes: Vec<u8>,
    /// Time for which it stays open after its bytes are sent.
    hold: Duration,
    source: u8,
}

impl Script {
    fn random(rng: &mut Rng) -> Self {
        let kind = Kind::ALL[rng.usize(..Kind::ALL.len())];
        let hold = match kind {
            Kind::Abandoned => Duration::ZERO,
            _ if rng.bool() => Duration::from_millis(rng.u64(..100)),
            _ => Duration::from_millis(rng.u64(..1_900)),
        };
        Self {
            kind,
            bytes: bytes(kind, rng),
            hold,
            source: rng.u8(..),
        }
    }
}

fn bytes(kind: Kind, rng: &mut Rng) -> Vec<u8> {
    let floods = |one: &dyn Fn(u32) -> Vec<u8>| {
        let frames = (0..FLOOD).map(one).collect::<Vec<_>>();
        [begin(&[]), frames.concat()].concat()
    };
    match kind {
        Kind::Abandoned => Vec::new(),
        Kind::PartialHead => {
            let head = format!(
                "POST /predict HTTP/1.1\r\nhost: x\r\nx: {}\r\n",
                "y".repeat(rng.usize(..8_000))
            );
            head.as_bytes()[..rng.usize(1..head.len())].to_vec()
        }
        Kind::PartialBody => {
            let length = rng.u64(..1 << 24);
            let head = format!(
                "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{{\"features\":"
            );
            head.into_bytes()
        }
        Kind::BadChunks => {
            let sizes = [
                "ffffffffffffffff",
                "-1",
                "g",
                "10000000000000000",
                "5;x=y",
                "",
                "0x5",
            ];
            let size = sizes[rng.usize(..sizes.len())];
            let head = "POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
            format!("{head}{size}\r\n{{\"a\":\r\n{size}\r\n").into_bytes()
        }
        Kind::ReadsNothing => b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(rng.usize(1..200)),
        Kind::NoWindow => {
            let head = request(false, "/metrics");
            let requests = (0..rng.u32(1..100))
                .map(|number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head));
            [begin(&NO_WINDOW), requests.collect::<Vec<_>>().concat()].concat()
        }
        Kind::GarbageFrames => {
            let mut all = begin(&[]);
            for _ in 0..rng.usize(1..20) {
                let payload = random(rng, 200);
                // Half of them have kinds that the server knows.
                let kind = if rng.bool() { rng.u8(..10) } else { rng.u8(..) };
                all.extend(frame(kind, rng.u8(..), rng.u32(..8), &payload));
            }
            all
        }
        Kind::ResetFlood => {
            let head = request(true, "/predict");
            floods(&|number| {
                let stream = 2 * number + 1;
                let opened = frame(HEADERS, END_HEADERS, stream, &head);
                // CANCEL
                [opened, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
            })
        }
        Kind::SettingsFlood => floods(&|_| frame(SETTINGS, 0, 0, &[])),
        Kind::PingFlood => floods(&|_| frame(PING, 0, 0, &[0; 8])),
        Kind::UnfinishedPosts => {
            let head = [
                request(true, "/predict"),
                field("x", &"y".repeat(rng.usize(..LARGE))),
            ]
            .concat();
            let requests = (0..rng.u32(1..60))
                .map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &head));
            [begin(&[]), requests.collect::<Vec<_>>().concat()].concat()
        }
        Kind::EndlessHead => {
            let more = frame(
                CONTINUATION,
                0,
                1,
                &field("x", &"y".repeat(rng.usize(..LARGE))),
            );
            let first = frame(HEADERS, 0, 1, &request(true, "/predict"));
            [begin(&[]), first, more.repeat(rng.usize(1..40))].concat()
        }
        Kind::RandomBytes => random(rng, 4_096),
    }
}

/// The start of an HTTP/2 connection, with these settings.
fn begin(settings: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()
}

fn random(rng: &mut Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.usize(..most)];
    rng.fill(&mut bytes);
    bytes
}

/// Opens connections, one after another.
pub(crate) async fn run(address: SocketAddr, mut rng: Rng, pace: Arc<Pace>, tally: Arc<Tally>) {
    while let Some(due) = pace.next(Instant::now()) {
        sleep_until(due.into()).await;
        let script = Script::random(&mut rng);
        let narrow = (!script.kind.reads()).then_some(NARROW);
        for _ in 0..TRIES {
            let opened = timeout(STAY, connect(address, script.source, narrow)).await;
            let came = match opened {
                Ok(Ok(stream)) => timeout(STAY, play(stream, &script))
                    .await
                    .unwrap_or(Came::Nothing),
                Ok(Err(_)) | Err(_) => Came::Refused,
            };
            tally.add(What::Connection, script.kind.name(), came);
            if came != Came::Refused {
                break;
            }
        }
    }
}

/// Sends the bytes, waits, and closes the connection.
async fn play(mut stream: TcpStream, script: &Script) -> Came {
    if stream.write_all(&script.bytes).await.is_err() {
        return Came::Closed;
    }
    if !script.kind.reads() {
        sleep(script.hold).await;
        return Came::Sent;
    }
    let mut sink = [0; 4_096];
    let reads = async { while stream.read(&mut sink).await.is_ok_and(|length| length > 0) {} };
    match timeout(script.hold, reads).await {
        Ok(()) => Came::Closed,
        Err(_) => Came::Sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(seed: u64) -> Vec<Script> {
        let mut rng = Rng::with_seed(seed);
        (0..500).map(|_| Script::random(&mut rng)).collect()
    }

    #[test]
    fn a_seed_makes_the_same_connections_and_another_one_others() {
        assert_eq!(some(1), some(1));
        assert_ne!(some(1), some(2));
    }

    #[test]
    fn every_kind_comes_and_each_is_bounded() {
        let scripts = some(3);
        for kind in Kind::ALL {
            assert!(scripts.iter().any(|it| it.kind == kind), "{kind:?}");
        }
        for script in scripts {
            assert!(script.hold < STAY, "{script:?}");
            assert!(script.bytes.len() < 1 << 20, "{script:?}");
            if script.kind == Kind::Abandoned {
                assert!(script.bytes.is_empty());
            }
        }
    }
}
