//! Connections: listening, their limits, timeouts and ages, and how they end.
//!
//! HTTP/1.1 and HTTP/2 share a port; the first bytes of a client tell which it speaks. The router that answers
//! requests is a parameter.

mod activity;
mod connection;
mod connection_age;
mod connection_limit;
mod connection_state;
mod frame_filter;
mod frames;
mod goaway_filter;
mod open_files;
mod request_body;
mod request_cost;
mod response_body;
mod service;
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

pub use self::activity::{IdleHandle, TurnGuard};
use self::connection::connection;
use self::connection_age::ConnectionAges;
use self::connection_limit::ConnectionLimit;
pub use self::open_files::raise_open_files_limit;
pub use self::request_cost::{MemoryLimits, Reject, RejectedRequest};
pub use self::shutdown::ShutdownPhase;
pub use springtide_process::listener::listen;

/// Pause after an error of the operating system, mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Time for which the backlog must be empty before the listener is closed. Connections in it are refused then.
const EMPTY_BACKLOG: Duration = Duration::from_millis(10);

/// Maximum time until the listener is closed. If new connections never cease, some must be refused.
const MAX_BACKLOG_TIME: Duration = Duration::from_millis(250);

/// Limits of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Maximum concurrent connections of all listeners. For one more, the connection that has been idle for the
    /// longest time is closed, so that idle clients can't keep active ones out. If none is idle, the one that has
    /// stalled for the longest time is closed. If there is none, the new one waits.
    pub connections: NonZeroUsize,
    /// Maximum concurrent connections of one address. None: no limit of its own.
    pub per_peer: Option<NonZeroUsize>,
    /// Maximum age, at which a client is asked to reconnect, so that new servers behind the same load balancer get
    /// connections. The age of each connection is up to a third less, so that those that were opened together
    /// don't end together. None: no limit.
    pub age: Option<Duration>,
    /// Maximum idle time between two requests.
    pub idle_timeout: Duration,
}

/// The connections of several listeners with common limits. Clones share them.
#[derive(Clone)]
pub struct Connections {
    limit: Arc<ConnectionLimit>,
    memory: MemoryLimits,
    age: Option<Duration>,
    shutdown: watch::Receiver<ShutdownPhase>,
}

impl Connections {
    /// No connections yet. They end as `shutdown` says, and at once when its sender is gone.
    #[must_use]
    pub fn new(
        limits: ConnectionLimits,
        memory: MemoryLimits,
        shutdown: watch::Receiver<ShutdownPhase>,
    ) -> Self {
        Self {
            memory,
            limit: Arc::new(ConnectionLimit::new(
                limits.connections,
                limits.per_peer,
                limits.idle_timeout,
            )),
            age: limits.age,
            shutdown,
        }
    }

    /// Serves a listener until [`ShutdownPhase::NoNewConnections`], and its connections until their ends.
    pub async fn serve(mut self, listener: TcpListener, router: Router) {
        let mut ages = ConnectionAges::new(self.age, fastrand::Rng::new());
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = reached(&mut self.shutdown, ShutdownPhase::NoNewConnections) => break,
                Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = accept(&listener) => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    self.spawn(&mut connections, accepted, &router, ages.draw())
                        .await;
                }
                Err(error) if is_connection_error(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "can't accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let last = Instant::now() + MAX_BACKLOG_TIME;
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
        let Some(slot) = self.limit.acquire(peer).await else {
            tracing::debug!(%peer, "rejected a connection: its address has reached its limit");
            return;
        };
        let (router, shutdown) = (router.clone(), self.shutdown.clone());
        let memory = self.memory.clone();
        connections.spawn(async move {
            connection(stream, router, memory, &slot, age, shutdown).await;
        });
    }
}

/// Returns once the shutdown has reached a phase: at once if the sender is gone.
async fn reached(shutdown: &mut watch::Receiver<ShutdownPhase>, phase: ShutdownPhase) {
    let _sender_gone = shutdown.wait_for(|current| *current >= phase).await;
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, IpAddr)> {
    let (stream, peer) = listener.accept().await?;
    // A response is one small write. Waiting to fill a packet would only delay it.
    stream.set_nodelay(true)?;
    Ok((stream, peer.ip()))
}

/// Whether the client closed the connection before it was accepted.
fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput
    )
}
