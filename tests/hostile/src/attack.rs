//! The whole attack: every sender of bodies and every hostile connection, until all is sent or time is over.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::bodies::{self, Generator};
use crate::connections;
use crate::pace::Pace;
use crate::senders;
use crate::server::Addresses;
use crate::tally::Tally;

/// Most connections of each kind at the same time.
const OVER_HTTP1: u64 = 16;
const OVER_HTTP2: u64 = 4;
const HOSTILE: u64 = 500;

/// Of the time that there is, what the attack is spread over; the rest is for a machine that is slow.
const SPREAD: f64 = 0.7;

/// Attackers have machines of their own elsewhere. Here they run after the server and the clients that
/// behave, or those would wait for a processor and not for the server.
pub(crate) const NICE: i32 = 10;

/// The attackers' addresses are 127.0.0.1 and from 127.0.0.3 on, so many. The second one behaves.
const SOURCES: u8 = 38;

/// What is sent, and for how long at most.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) bodies: u64,
    pub(crate) connections: u64,
    pub(crate) seconds: Duration,
    pub(crate) seed: u64,
}

/// Runs the attack to its end.
///
/// # Errors
///
/// Where there can be no runtime.
pub(crate) fn run(addresses: Addresses, plan: &Plan) -> anyhow::Result<Arc<Tally>> {
    let bombs = bodies::bombs()?;
    let start = Instant::now();
    let pace = |total| {
        let spread = plan.seconds.mul_f64(SPREAD);
        Arc::new(Pace::new(total, start, spread, start + plan.seconds))
    };
    let (body_pace, connection_pace) = (pace(plan.bodies), pace(plan.connections));
    let tally = Arc::new(Tally::default());
    let mut seeds = fastrand::Rng::with_seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(|| {
            let _as_it_is = rustix::process::nice(NICE);
        })
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut all = JoinSet::new();
        for _ in 0..OVER_HTTP1 {
            let generator = Generator::new(seeds.u64(..), &bombs);
            let (pace, tally) = (Arc::clone(&body_pace), Arc::clone(&tally));
            all.spawn(senders::over_http1(addresses.http, generator, pace, tally));
        }
        for number in 0..OVER_HTTP2 {
            let address = if number % 2 == 0 {
                addresses.http
            } else {
                addresses.grpc
            };
            let generators = senders::STREAMS.map(|_| Generator::new(seeds.u64(..), &bombs));
            let (pace, tally) = (Arc::clone(&body_pace), Arc::clone(&tally));
            all.spawn(senders::over_http2(address, generators, pace, tally));
        }
        for number in 0..HOSTILE {
            let address = if number % 4 == 0 {
                addresses.grpc
            } else {
                addresses.http
            };
            let rng = seeds.fork();
            let (pace, tally) = (Arc::clone(&connection_pace), Arc::clone(&tally));
            all.spawn(connections::run(address, rng, pace, tally));
        }
        while let Some(ended) = all.join_next().await {
            // A panic of an attacker would make the attack less than it says.
            ended?;
        }
        anyhow::Ok(())
    })?;
    Ok(tally)
}

/// Opens a connection from one of the attackers' addresses that leaves nothing behind when it is closed: the
/// ports of tens of thousands that wait for their last packets would run out.
///
/// # Errors
///
/// Where the server, or this machine, takes no more.
pub(crate) async fn connect(
    address: SocketAddr,
    source: u8,
    receive_bytes: Option<u32>,
) -> std::io::Result<TcpStream> {
    let last = match source % SOURCES {
        0 => 1,
        other => other + 2,
    };
    let socket = TcpSocket::new_v4()?;
    socket.set_zero_linger()?;
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind((IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0).into())?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
