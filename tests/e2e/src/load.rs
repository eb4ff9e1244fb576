//! Load on a ModelService, bounded in rate, number and time, through a node port of the cluster under test.
//!
//! Half of the clients keep their connections, as a connection pool does. The others open a new one every few requests,
//! as short-lived clients do. Both observe rollouts and scale-ups.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use springtide_contract::paths;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::json::number;
use crate::testbed::Testbed;
use crate::wait::{self, Look};

/// Requests after which a client of the second half opens a new connection.
const REQUESTS_PER_SHORT_CONNECTION: u32 = 10;

/// Maximum time of a request: more than the server's own timeout, so that its 504 is received.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Maximum bytes of a response.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The requests, their rate and their duration.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `features` of every request.
    pub features: Value,
    /// The expected `prediction` of each.
    pub prediction: Value,
    /// Number of clients, each with one connection and at most one open request.
    pub clients: u32,
    /// Requests per second of all clients together. Fewer if responses are slow.
    pub requests_per_second: u32,
    /// Time after which the load ends.
    pub at_most: Duration,
}

/// Load in progress.
pub struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<Tally>,
    start: Instant,
}

/// The results of the requests.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Number of correct responses.
    pub answered: usize,
    /// Descriptions and numbers of other results.
    pub failures: BTreeMap<String, u32>,
    /// Requests that were sent again on a new connection, because the server had closed the kept one before any part of
    /// a response.
    pub sent_again: u32,
    /// Times of the requests with a response, sorted.
    times: Vec<Duration>,
    took: Duration,
}

#[derive(Debug, Default)]
struct Tally {
    times: Vec<Duration>,
    failures: BTreeMap<String, u32>,
    sent_again: u32,
}

/// Maximum time until a new node port accepts connections. The proxy of each node configures it on its own.
const NODE_PORT_LIMIT: Duration = Duration::from_secs(30);

/// Creates a node port for the pods of a ModelService, and waits until it accepts connections. Returns its address.
///
/// # Errors
///
/// If the API server rejects the request, if no node has an address, or if the port stays closed.
pub async fn node_port(testbed: &Testbed, name: &str) -> Result<SocketAddr> {
    let service = testbed
        .apply(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": format!("{name}-load")},
            "spec": {
                "type": "NodePort",
                "selector": {"app.kubernetes.io/name": "modelservice", "app.kubernetes.io/instance": name},
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            },
        }))
        .await?;
    let port = u16::try_from(number(&service, "/spec/ports/0/nodePort"))?;
    let address = SocketAddr::new(node_address(testbed).await?, port);
    wait::until(
        &format!("{address} to accept connections"),
        NODE_PORT_LIMIT,
        async || {
            TcpStream::connect(address).await?;
            Ok(Look::Seen(()))
        },
    )
    .await?;
    Ok(address)
}

async fn node_address(testbed: &Testbed) -> Result<IpAddr> {
    if let Ok(address) = std::env::var("SPRINGTIDE_E2E_NODE_ADDRESS") {
        return address
            .parse()
            .with_context(|| format!("SPRINGTIDE_E2E_NODE_ADDRESS={address}"));
    }
    testbed.cluster.node_address().await
}

impl Load {
    /// Starts the load.
    ///
    /// # Errors
    ///
    /// If the plan has no clients or no rate, or can't be written as JSON.
    pub fn start(address: SocketAddr, plan: &Plan) -> Result<Self> {
        ensure!(
            plan.clients > 0 && plan.requests_per_second > 0,
            "a load of nothing"
        );
        let body = Bytes::from(serde_json::to_vec(&json!({"features": plan.features}))?);
        let (stop, stopped) = watch::channel(false);
        let start = Instant::now();
        let mut clients = JoinSet::new();
        for index in 0..plan.clients {
            let client = Client {
                address,
                body: body.clone(),
                prediction: Arc::new(plan.prediction.clone()),
                requests_per_connection: if index % 2 == 0 {
                    u32::MAX
                } else {
                    REQUESTS_PER_SHORT_CONNECTION
                },
                pause: Duration::from_secs(1) * plan.clients / plan.requests_per_second,
                end: start + plan.at_most,
                connection: None,
                tally: Tally::default(),
            };
            clients.spawn(client.run(stopped.clone()));
        }
        Ok(Self {
            stop,
            clients,
            start,
        })
    }

    /// Ends the load, after the response to every open request.
    ///
    /// # Errors
    ///
    /// If a client panicked.
    pub async fn stop(mut self) -> Result<Outcome> {
        self.stop.send_replace(true);
        let mut outcome = Outcome::default();
        while let Some(tally) = self.clients.join_next().await {
            outcome.add(tally?);
        }
        Ok(outcome.finished(self.start))
    }
}

impl Outcome {
    fn add(&mut self, tally: Tally) {
        self.times.extend(tally.times);
        self.sent_again += tally.sent_again;
        for (failure, count) in tally.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }

    fn finished(mut self, start: Instant) -> Self {
        self.took = start.elapsed();
        self.times.sort_unstable();
        self.answered = self.times.len();
        self
    }

    /// Checks that every request was successful, and that their number is significant.
    ///
    /// # Errors
    ///
    /// Descriptions and numbers of the failures.
    pub fn check(&self, at_least: usize) -> Result<()> {
        ensure!(self.failures.is_empty(), "requests failed: {self}");
        ensure!(
            self.answered >= at_least,
            "fewer than {at_least} requests: {self}"
        );
        Ok(())
    }

    fn quantile_ms(&self, quantile: usize) -> f64 {
        let at = (self.times.len() * quantile / 100).min(self.times.len().saturating_sub(1));
        self.times
            .get(at)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed: u32 = self.failures.values().sum();
        write!(
            f,
            "{} answered in {:.0} s, {failed} failed, {} sent again on a new connection, p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms",
            self.answered,
            self.took.as_secs_f64(),
            self.sent_again,
            self.quantile_ms(50),
            self.quantile_ms(95),
            self.quantile_ms(99),
        )?;
        for (failure, count) in &self.failures {
            write!(f, "\n  {count} × {failure}")?;
        }
        Ok(())
    }
}

struct Client {
    address: SocketAddr,
    body: Bytes,
    prediction: Arc<Value>,
    requests_per_connection: u32,
    pause: Duration,
    end: Instant,
    connection: Option<Connection>,
    tally: Tally,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    requests: u32,
}

/// Why a request has no correct response.
enum Failure {
    /// The connection ended before any part of a response.
    Closed(hyper::Error),
    /// Anything else, with a description.
    Other(String),
}

impl Client {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) -> Tally {
        let mut ticks = interval(self.pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < self.end {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                _ = ticks.tick() => {}
            }
            let start = Instant::now();
            let failure = match timeout(REQUEST_LIMIT, self.request()).await {
                Ok(Ok(())) => {
                    self.tally.times.push(start.elapsed());
                    continue;
                }
                Ok(Err(Failure::Closed(error))) => format!("connection closed: {error}"),
                Ok(Err(Failure::Other(words))) => words,
                Err(_) => format!("no answer in {} s", REQUEST_LIMIT.as_secs()),
            };
            *self.tally.failures.entry(failure).or_default() += 1;
        }
        self.tally
    }

    /// Sends one request. Like every HTTP client with a pool, it uses the kept connection if that is still open, and
    /// sends again on a new one if the server has closed it.
    async fn request(&mut self) -> Result<(), Failure> {
        if let Some(mut kept) = self.connection.take()
            && kept.sender.ready().await.is_ok()
        {
            match self.exchange(kept).await {
                Err(Failure::Closed(_)) => self.tally.sent_again += 1,
                other => return other,
            }
        }
        let new = self.connect().await?;
        self.exchange(new).await
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|error| Failure::Other(format!("connecting: {error}")))?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::Other(format!("connecting: {error}")))?;
        tokio::spawn(connection);
        Ok(Connection {
            sender,
            requests: 0,
        })
    }

    async fn exchange(&mut self, mut connection: Connection) -> Result<(), Failure> {
        let request = http::Request::post(paths::PREDICT)
            .header(http::header::HOST, "load")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(self.body.clone()))
            .map_err(|error| Failure::Other(error.to_string()))?;
        let response = connection
            .sender
            .send_request(request)
            .await
            .map_err(Failure::Closed)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT)
            .collect()
            .await;
        let body = body
            .map_err(|error| Failure::Other(format!("reading the answer: {error}")))?
            .to_bytes();
        connection.requests += 1;
        if connection.requests < self.requests_per_connection {
            self.connection = Some(connection);
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status == 200 && answer["prediction"] == *self.prediction {
            return Ok(());
        }
        Err(Failure::Other(format!(
            "status {status}: {}",
            String::from_utf8_lossy(&body)
        )))
    }
}

#[cfg(test)]
mod tests;
