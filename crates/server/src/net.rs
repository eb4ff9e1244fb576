//! Connections: how many, how long they may be silent, and how they end.

mod impatient;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::impatient::Impatient;

/// Most connections at the same time; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 4096;

/// Longest silence of a client: until its headers are complete, and between two requests. Longer
/// than load balancers keep idle connections (60 s in NGINX, Envoy and AWS), so that they close
/// first and never send into a connection that is being closed.
const MAX_SILENCE: Duration = Duration::from_secs(75);

/// Longest time in which a client may take nothing of its answers.
const MAX_STALL: Duration = Duration::from_secs(30);

/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Pause after the operating system gave no connection, which is mostly for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the backlog must be empty before the listener is closed; whatever is in it then is
/// refused.
const EMPTY_BACKLOG: Duration = Duration::from_millis(10);

/// How connections are to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closing {
    /// Not at all.
    Open,
    /// No new ones are taken.
    NoNewConnections,
    /// Each one ends after the request that it is answering, at once if there is none.
    AfterRequest,
}

/// Serves until `closing` says to end and every connection has ended.
pub async fn serve(listener: TcpListener, router: Router, mut closing: watch::Receiver<Closing>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = reached(&mut closing, Closing::NoNewConnections) => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                connections.spawn(connection(stream, permit, router.clone(), closing.clone()));
            }
            Err(error) if is_connections_fault(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection could be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while let Ok(Ok((stream, permit))) = timeout(EMPTY_BACKLOG, accept(&listener, &permits)).await {
        connections.spawn(connection(stream, permit, router.clone(), closing.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Returns once closing has come so far; at once if nobody is left to say so.
async fn reached(closing: &mut watch::Receiver<Closing>, stage: Closing) {
    let _sender_gone = closing.wait_for(|closing| *closing >= stage).await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _peer) = listener.accept().await?;
    // An answer is one small write; waiting to fill a packet only makes it late.
    stream.set_nodelay(true)?;
    Ok((stream, permit))
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

async fn connection(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    router: Router,
    mut closing: watch::Receiver<Closing>,
) {
    let stream = Impatient::new(stream, MAX_STALL);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MAX_SILENCE)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        // What has arrived is answered: a connection is idle only after it was looked at.
        biased;
        ended = connection.as_mut() => ended,
        () = reached(&mut closing, Closing::AfterRequest) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
    drop(permit);
}
