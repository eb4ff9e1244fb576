//! Connections: where they come in, how many, how long they may be silent, how old they get, and how they end.
//!
//! HTTP/1.1 and HTTP/2 are spoken on the same port; the client's first bytes tell which. What is
//! spoken about is the router's business.

mod activity;
mod connection;
mod connection_age;
mod connection_limit;
mod frames;
mod open_files;
mod request_body;
mod request_cost;
mod response_body;
mod shutdown;
mod write_timeout;

use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub use self::activity::{BusyGuard, IdleGuard, IdleHandle};
use self::connection::connection;
use self::connection_age::ConnectionAges;
use self::connection_limit::ConnectionLimit;
pub use self::open_files::raise_open_files_limit;
pub use self::request_cost::{MemoryLimits, Reject, RejectedRequest};
pub use self::shutdown::ShutdownPhase;
pub use springtide_listener::listen;

/// Pause after the operating system gave no connection, which is mostly for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the backlog must be empty before the listener is closed; whatever is in it then is
/// refused.
const EMPTY_BACKLOG: Duration = Duration::from_millis(10);

/// How long that may take: where new connections never cease, some must be refused.
const LAST_CONNECTIONS: Duration = Duration::from_millis(250);

/// What connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Most connections at the same time, all listeners together. For one more, the one that has
    /// been idle the longest is closed, so that probes get through and idle clients can't keep
    /// active ones out; if none is idle, the one whose client has sent or taken nothing for the longest. If
    /// there is none, the new one waits.
    pub connections: NonZeroUsize,
    /// Most connections of one address. None: as many as there are at all.
    pub per_peer: Option<NonZeroUsize>,
    /// Age at which a connection's client is asked to reconnect, so that a new server behind the
    /// same load balancer gets its share; each connection's own is up to a third less, so that
    /// those opened together don't end together. None: never.
    pub age: Option<Duration>,
    /// Longest time that a connection may be idle between two requests.
    pub idle: Duration,
}

/// All connections of the server, through whichever listener they came. Clones share them.
#[derive(Clone)]
pub struct Connections {
    limit: Arc<ConnectionLimit>,
    memory: MemoryLimits,
    age: Option<Duration>,
    closing: watch::Receiver<ShutdownPhase>,
}

impl Connections {
    /// No connections yet. They end as `closing` says, and at once when its sender is gone.
    #[must_use]
    pub fn new(
        limits: ConnectionLimits,
        memory: MemoryLimits,
        closing: watch::Receiver<ShutdownPhase>,
    ) -> Self {
        Self {
            memory,
            limit: Arc::new(ConnectionLimit::new(
                limits.connections,
                limits.per_peer,
                limits.idle,
            )),
            age: limits.age,
            closing,
        }
    }

    /// Serves one listener until no new connections are to be taken and each that came through it
    /// has ended.
    pub async fn serve(mut self, listener: TcpListener, router: Router) {
        let mut ages = ConnectionAges::new(self.age, fastrand::Rng::new());
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = reached(&mut self.closing, ShutdownPhase::NoNewConnections) => break,
                Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = accept(&listener) => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    self.spawn(&mut connections, accepted, &router, ages.draw())
                        .await;
                }
                Err(error) if is_connections_fault(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection could be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let last = Instant::now() + LAST_CONNECTIONS;
        while Instant::now() < last
            && let Ok(Ok(accepted)) = timeout(EMPTY_BACKLOG, accept(&listener)).await
        {
            self.spawn(&mut connections, accepted, &router, ages.draw())
                .await;
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn spawn(
        &self,
        connections: &mut JoinSet<()>,
        (stream, peer): (TcpStream, IpAddr),
        router: &Router,
        age: Option<Duration>,
    ) {
        let Some(slot) = self.limit.take(peer).await else {
            tracing::debug!(%peer, "a connection too many of one address");
            return;
        };
        let (router, closing) = (router.clone(), self.closing.clone());
        let memory = self.memory.clone();
        connections.spawn(async move {
            connection(stream, router, memory, &slot, age, closing).await;
        });
    }
}

/// Returns once closing has come so far; at once if nobody is left to say so.
async fn reached(closing: &mut watch::Receiver<ShutdownPhase>, stage: ShutdownPhase) {
    let _sender_gone = closing.wait_for(|closing| *closing >= stage).await;
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, IpAddr)> {
    let (stream, peer) = listener.accept().await?;
    // An answer is one small write; waiting to fill a packet only makes it late.
    stream.set_nodelay(true)?;
    Ok((stream, peer.ip()))
}

/// The client gave up between its connecting and our accepting.
fn is_connections_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput
    )
}
