//! Attackers who hold connections: each does what keeps one the longest, and comes again when it is closed.

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

/// Longest time until so many connections are there.
const RAMP: Duration = Duration::from_secs(30);

/// Between two looks at how many there are, and two bytes of what never ends.
const LOOK: Duration = Duration::from_millis(100);
const TRICKLE: Duration = Duration::from_secs(1);

/// Before a connection that wasn't taken is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// Files of this process besides the connections.
const OTHER_FILES: u64 = 256;

/// How a connection is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// A stream of gRPC that asks nothing.
    WaitingStream,
    /// Many requests, of whose answers nothing is read.
    ReadsNothing,
    /// A body of which a byte comes now and then.
    SlowBody,
    /// A head of which a byte comes now and then.
    SlowHead,
}

impl Hold {
    /// Mostly what lasts the longest.
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

/// Lets so many connections be held while something runs. Returns what that gives, and how many connections were
/// held meanwhile: the median of many looks, since the server closes some of them, and each comes again.
///
/// # Errors
///
/// Where there can't be so many connections, or no runtime, or what runs fails.
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

/// Sends, and stays until the server closes the connection or all is over.
async fn stay(mut stream: TcpStream, hold: Hold, over: &AtomicBool) -> std::io::Result<()> {
    // As much as the sockets take.
    if let Ok(sent) = timeout(TRICKLE, stream.write_all(&hold.bytes())).await {
        sent?;
    }
    let mut sink = [0; 1_024];
    while !over.load(Ordering::Relaxed) {
        if hold == Hold::ReadsNothing {
            sleep(TRICKLE).await;
            // Told by an error, since nothing is read.
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

/// Lets this process have so many connections.
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
