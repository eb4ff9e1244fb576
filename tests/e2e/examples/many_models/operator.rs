//! What the operator costs the API server, and how it begins anew.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Request;
use springtide_e2e::bed::Bed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// Longest time until an operator that has begun anew has looked at everything.
const LIMIT: Duration = Duration::from_secs(120);

/// Calls since the API server began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calls {
    /// Those of service accounts outside `kube-system`: here only the operator, with those for its lease and for the
    /// cluster's capabilities.
    pub(crate) all: u64,
    /// Applies of anybody, which are the operator's own while nobody else applies, and its events.
    pub(crate) writes: u64,
}

impl Calls {
    /// Those so far.
    pub(crate) async fn so_far(bed: &Bed) -> Result<Self> {
        let request = Request::get("/metrics").body(Vec::new())?;
        let text = bed.cluster.client().request_text(request).await?;
        let sum = |name: &str, is_counted: &dyn Fn(&str) -> bool| {
            let lines = text.lines().filter(|line| line.starts_with(name));
            let counts = lines.filter(|line| is_counted(line));
            counts
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum::<f64>() as u64
        };
        let is_event =
            |line: &str| line.contains("group=\"events.k8s.io\"") && line.contains("verb=\"POST\"");
        Ok(Self {
            all: sum(
                "apiserver_flowcontrol_dispatched_requests_total{",
                &|line| line.contains("flow_schema=\"service-accounts\""),
            ),
            writes: sum("apiserver_request_total{", &|line| {
                line.contains("verb=\"APPLY\"") || is_event(line)
            }),
        })
    }
}

/// A second operator that is started beside the first, and how long it took to look at everything.
pub(crate) struct Restart {
    pub(crate) took: Duration,
    /// Most memory that it held, in KiB, where the system tells.
    pub(crate) memory: Option<u64>,
}

/// Starts the operator that `SPRINGTIDE_OPERATOR` names with a lease of its own, so that it acts at once, and waits
/// until it has looked at `models` ModelServices. Nothing where no operator is named: it isn't a process here.
pub(crate) async fn restart(models: usize) -> Result<Option<Restart>> {
    let (Ok(program), Ok(kubeconfig)) = (
        std::env::var("SPRINGTIDE_OPERATOR"),
        std::env::var("SPRINGTIDE_OPERATOR_KUBECONFIG"),
    ) else {
        return Ok(None);
    };
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let begun = Instant::now();
    let mut operator = Command::new(program)
        .env("KUBECONFIG", kubeconfig)
        .args(["--listen", &address.to_string()])
        .args(["--lease-namespace", "springtide-system"])
        .args(["--lease-name", "many-models", "--identity", "many-models"])
        .kill_on_drop(true)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .context("starting the operator")?;
    loop {
        if passes(&address.to_string()).await.unwrap_or_default() >= models {
            break;
        }
        if begun.elapsed() > LIMIT || operator.try_wait()?.is_some() {
            bail!("the operator has not looked at {models} ModelServices");
        }
        sleep(Duration::from_millis(50)).await;
    }
    let took = begun.elapsed();
    let memory = operator.id().and_then(most_memory);
    operator.kill().await?;
    Ok(Some(Restart { took, memory }))
}

/// Passes of the operator at an address that went well.
async fn passes(address: &str) -> Result<usize> {
    let mut answer = String::new();
    timeout(Duration::from_secs(2), async {
        let mut connection = TcpStream::connect(address).await?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        connection.read_to_string(&mut answer).await
    })
    .await??;
    let counter = "springtide_operator_reconciles_total{outcome=\"success\"} ";
    let mut lines = answer.lines();
    let count = lines.find_map(|line| line.strip_prefix(counter)?.parse().ok());
    count.context("no such counter")
}

/// Most memory that a process held, in KiB.
pub(crate) fn most_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
