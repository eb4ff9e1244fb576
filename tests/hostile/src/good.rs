//! Well-behaved clients, and probes. The test measures them during the attack.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::future::join_all;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{MissedTickBehavior, interval, interval_at, timeout};

use crate::server::Addresses;
use crate::thresholds::{Summary, milliseconds};

/// Not an address of the attackers, because the server counts connections by address.
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Number of clients of each protocol.
const OVER_HTTP1: u8 = 20;
const OVER_HTTP2: u8 = 10;

/// Interval of the requests of a client. It is long relative to a response time, because a client sends the next
/// request after the response.
const PERIOD: Duration = Duration::from_millis(100);

/// Interval of the probes.
const PROBE_PERIOD: Duration = Duration::from_millis(100);

/// Timeout of a client: more than the server's own request timeout.
const PATIENCE: Duration = Duration::from_secs(10);

/// Maximum time until a server with one small model is ready.
const READY: Duration = Duration::from_secs(60);

/// Rows of the model's test data, and their classes.
#[derive(Deserialize)]
pub(crate) struct Rows {
    rows: Vec<Vec<f64>>,
    predictions: Vec<i64>,
}

impl Rows {
    /// Reads `<name>.test.json` in the folder of the model.
    ///
    /// # Errors
    ///
    /// If there is no such file with a class for each row.
    pub(crate) fn beside(model: &Path) -> anyhow::Result<Self> {
        let path = model.with_extension("test.json");
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        let rows: Self =
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        ensure!(
            !rows.rows.is_empty() && rows.rows.len() == rows.predictions.len(),
            "{}: as many predictions as rows, and at least one",
            path.display()
        );
        Ok(rows)
    }

    /// The body of a request for a row, and its class.
    fn request(&self, number: usize) -> Option<(Bytes, i64)> {
        let number = number % self.rows.len();
        let body = json!({"features": self.rows.get(number)?}).to_string();
        Some((Bytes::from(body), *self.predictions.get(number)?))
    }
}

/// The results of clients and probes.
#[derive(Default)]
pub(crate) struct Figures {
    right: u64,
    wrong: u64,
    /// Responses with 429.
    overloaded: u64,
    failed: Vec<StatusCode>,
    /// Reasons for requests without a response.
    unanswered: Vec<String>,
    reconnected: u64,
    /// Times from the due time of each request to its response.
    times: Vec<Duration>,
    probes: u64,
    lost_probes: u64,
    longest_probe: Duration,
    took: Duration,
}

impl Figures {
    /// Correct responses per second.
    pub(crate) fn rate(&self) -> f64 {
        // The counts of a run are far less than 2^52.
        #[expect(clippy::cast_precision_loss, reason = "the count is small")]
        let right = self.right as f64;
        right / self.took.as_secs_f64()
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or(Duration::MAX)
    }

    /// The values that are compared with thresholds.
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            right: self.right,
            wrong: self.wrong,
            failed: u64::try_from(self.failed.len()).unwrap_or(u64::MAX),
            unanswered: u64::try_from(self.unanswered.len()).unwrap_or(u64::MAX),
            p99: self.percentile(99),
            lost_probes: self.lost_probes,
            longest_probe: self.longest_probe,
        }
    }

    /// A summary on one line.
    pub(crate) fn line(&self, phase: &str) -> String {
        let mut failed = self.failed.clone();
        failed.sort_unstable();
        failed.dedup();
        let mut unanswered = self.unanswered.clone();
        unanswered.sort_unstable();
        unanswered.dedup();
        format!(
            "{phase}: {:.0} right answers/s, p50 {}, p99 {}; {} right, {} wrong, {} times 429, {} failed {failed:?}, \
             {} unanswered {unanswered:?}, {} reconnected; {} probes, the longest {}, {} lost",
            self.rate(),
            milliseconds(self.percentile(50)),
            milliseconds(self.percentile(99)),
            self.right,
            self.wrong,
            self.overloaded,
            self.failed.len(),
            self.unanswered.len(),
            self.reconnected,
            self.probes,
            milliseconds(self.longest_probe),
            self.lost_probes,
        )
    }

    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.overloaded += other.overloaded;
        self.failed.extend(other.failed);
        self.unanswered.extend(other.unanswered);
        self.reconnected += other.reconnected;
        self.times.extend(other.times);
        self.probes += other.probes;
        self.lost_probes += other.lost_probes;
        self.longest_probe = self.longest_probe.max(other.longest_probe);
    }
}

/// The times of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Each client at its times.
    Timed,
    /// Each client after its last response: the maximum rate of the server.
    Closed,
}

/// Runs all clients and the probes until the end of the phase.
///
/// # Errors
///
/// If the runtime can't be created.
pub(crate) fn measure(
    addresses: Addresses,
    rows: &Rows,
    load: Load,
    over: &impl Fn() -> bool,
) -> anyhow::Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let began = Instant::now();
    let mut all = runtime.block_on(async {
        let protocols = [Protocol::Http1; OVER_HTTP1 as usize]
            .into_iter()
            .chain([Protocol::Http2; OVER_HTTP2 as usize]);
        let clients = join_all((0..).zip(protocols).map(|(number, protocol)| {
            client(addresses.http, protocol, rows, (load, number), over)
        }));
        let (clients, mut all) = tokio::join!(clients, probes(addresses.health, over));
        clients.into_iter().for_each(|figures| all.add(figures));
        all
    });
    all.took = began.elapsed();
    Ok(all)
}

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    async fn open(address: SocketAddr, protocol: Protocol) -> anyhow::Result<Self> {
        let io = TokioIo::new(connect(address).await?);
        Ok(match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Self::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Self::Http2(sender)
            }
        })
    }

    /// Waits until the connection accepts a request. An error if the server has closed it or asked to reconnect.
    async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    /// `None` if the connection ended before any part of the request was sent. Clients then send it on another
    /// connection.
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Option<(StatusCode, Bytes)>> {
        let sent = match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        };
        let answer: Response<Incoming> = match sent {
            Ok(answer) => answer,
            Err(mut error) => {
                return match error.take_message() {
                    Some(_unsent) => Ok(None),
                    None => Err(error.into_error()),
                };
            }
        };
        let status = answer.status();
        Ok(Some((
            status,
            answer.into_body().collect().await?.to_bytes(),
        )))
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((SOURCE, 0).into())?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A client that sends one request after another. With scheduled requests, a late request is sent at once, and its time
/// counts from its due time.
async fn client(
    address: SocketAddr,
    protocol: Protocol,
    rows: &Rows,
    (load, client): (Load, u8),
    over: &impl Fn() -> bool,
) -> Figures {
    let mut figures = Figures::default();
    let mut open: Option<Connection> = None;
    // The clients don't begin at the same time.
    let share = PERIOD / u32::from(OVER_HTTP1 + OVER_HTTP2);
    let offset = share * u32::from(client);
    let mut due = interval_at(tokio::time::Instant::now() + offset, PERIOD);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in usize::from(client).. {
        let at = match load {
            Load::Timed => due.tick().await,
            Load::Closed => tokio::time::Instant::now(),
        };
        let Some((body, class)) = rows.request(number) else {
            break;
        };
        if over() {
            break;
        }
        let answer = timeout(
            PATIENCE,
            ask(address, protocol, &mut open, body, &mut figures),
        )
        .await;
        figures.times.push(at.elapsed());
        match answer {
            Ok(Ok((StatusCode::OK, body))) if class_in(&body) == Some(class) => figures.right += 1,
            Ok(Ok((StatusCode::OK, _))) => figures.wrong += 1,
            Ok(Ok((StatusCode::TOO_MANY_REQUESTS, _))) => figures.overloaded += 1,
            Ok(Ok((status, _))) => figures.failed.push(status),
            Ok(Err(error)) => {
                figures.unanswered.push(format!("{protocol:?}: {error:#}"));
                open = None;
            }
            Err(_elapsed) => {
                figures
                    .unanswered
                    .push(format!("{protocol:?}: not in time"));
                open = None;
            }
        }
    }
    figures
}

/// Sends a request on the open connection, or on a new one if the server accepts no further request on the open one.
async fn ask(
    address: SocketAddr,
    protocol: Protocol,
    open: &mut Option<Connection>,
    body: Bytes,
    figures: &mut Figures,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let path = match protocol {
        Protocol::Http1 => "/predict".to_owned(),
        Protocol::Http2 => format!("http://{address}/predict"),
    };
    let mut request = Request::post(path).header(CONTENT_TYPE, "application/json");
    if let Protocol::Http1 = protocol {
        request = request.header(HOST, address.to_string());
    }
    let request = request.body(Full::new(body))?;
    if let Some(connection) = open {
        if connection.ready().await.is_ok()
            && let Some(answer) = connection.send(request.clone()).await?
        {
            return Ok(answer);
        }
        figures.reconnected += 1;
    }
    let connection = open.insert(Connection::open(address, protocol).await?);
    let answer = connection.send(request).await?;
    answer.context("a new connection took no request")
}

fn class_in(answer: &[u8]) -> Option<i64> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    answer.get("prediction")?.as_i64()
}

/// Queries the port for probes, on a new connection each time, as a kubelet does.
async fn probes(address: SocketAddr, over: &impl Fn() -> bool) -> Figures {
    let mut figures = Figures::default();
    let mut due = interval(PROBE_PERIOD);
    due.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !over() {
        due.tick().await;
        let began = Instant::now();
        let answer = timeout(PATIENCE, probe(address, "/health")).await;
        figures.longest_probe = figures.longest_probe.max(began.elapsed());
        figures.probes += 1;
        if !matches!(answer, Ok(Ok(StatusCode::OK))) {
            figures.lost_probes += 1;
        }
    }
    figures
}

/// Waits until the server is ready.
///
/// # Errors
///
/// If it isn't ready in time, or if the runtime can't be created.
pub(crate) fn wait_until_ready(addresses: Addresses) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ready = async {
        let mut tries = interval(PROBE_PERIOD);
        loop {
            tries.tick().await;
            if let Ok(StatusCode::OK) = probe(addresses.health, "/ready").await {
                break;
            }
        }
    };
    let waited = runtime.block_on(async { timeout(READY, ready).await });
    waited.context("the server isn't ready")
}

async fn probe(address: SocketAddr, path: &str) -> anyhow::Result<StatusCode> {
    let mut connection = Connection::open(address, Protocol::Http1).await?;
    let request = Request::get(path).header(HOST, address.to_string());
    let answer = connection.send(request.body(Full::default())?).await?;
    Ok(answer.context("the connection took no request")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_ranks() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        let figures = Figures {
            times,
            ..Figures::default()
        };
        assert_eq!(figures.percentile(50), Duration::from_millis(100));
        assert_eq!(figures.percentile(99), Duration::from_millis(198));
        // Without a measurement, the time is not short.
        assert_eq!(Figures::default().percentile(99), Duration::MAX);
    }

    #[test]
    fn rows_are_asked_round_and_round_with_their_classes() {
        let rows = Rows {
            rows: vec![vec![1.0, 2.5], vec![3.0, 4.0]],
            predictions: vec![0, 2],
        };
        let first = (Bytes::from(r#"{"features":[1.0,2.5]}"#), 0);
        assert_eq!(rows.request(0), Some(first.clone()));
        assert_eq!(rows.request(3).map(|(_, class)| class), Some(2));
        assert_eq!(rows.request(4), Some(first));
    }

    #[test]
    fn a_class_is_read_from_an_answer_only() {
        assert_eq!(class_in(br#"{"prediction":2,"confidence":0.9}"#), Some(2));
        for other in [
            &b""[..],
            b"{}",
            br#"{"prediction":"2"}"#,
            br#"{"prediction":1.5}"#,
        ] {
            assert_eq!(class_in(other), None);
        }
    }
}
