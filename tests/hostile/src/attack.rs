//! The whole attack: all hostile bodies and connections, until all are sent or the time is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::attacker::NICE;
use crate::bodies::{self, Generator};
use crate::connections;
use crate::pace::Pace;
use crate::senders;
use crate::server::Addresses;
use crate::tally::Tally;

/// Maximum number of concurrent connections of each kind.
const OVER_HTTP1: u64 = 16;
const OVER_HTTP2: u64 = 4;
const HOSTILE: u64 = 500;

/// Part of the available time over which the attack is spread. The rest is a reserve for slow machines.
const SPREAD: f64 = 0.7;

/// The numbers of bodies and connections, and the maximum time.
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
/// If the runtime can't be created.
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
            // A panic of an attacker would reduce the attack.
            ended?;
        }
        anyhow::Ok(())
    })?;
    Ok(tally)
}
