//! The operator as a process beside a control plane without nodes, which `tests/control-plane/run` makes: its program,
//! addresses and rights stand in variables.

use std::env;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::{Look, until};

/// Longest time for an answer of its own server.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Longest time until one that was asked to has ended.
const END_LIMIT: Duration = Duration::from_secs(30);

/// An operator that ends with the test.
pub struct OperatorProcess(Child);

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// What it has now.
    pub now: u64,
    /// The most that it has had.
    pub peak: u64,
}

/// The compiled operator, with the rights of an administrator and nothing to read or to write to.
///
/// # Errors
///
/// Where the variable lacks that names it.
pub fn program() -> Result<Command> {
    let mut command = Command::new(variable("SPRINGTIDE_OPERATOR")?);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

/// The one operator of the cluster: with the rights and the flags of the chart, at the address that [`metrics`] asks,
/// its log after that of former ones.
///
/// # Errors
///
/// Where variables lack, or the log can't be written.
pub fn of_the_chart() -> Result<Command> {
    let mut command = program()?;
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(variable("SPRINGTIDE_OPERATOR_LOG")?)?;
    let address = variable("SPRINGTIDE_OPERATOR_ADDRESS")?;
    command
        .env("KUBECONFIG", variable("SPRINGTIDE_OPERATOR_KUBECONFIG")?)
        .args(["--listen", &address, "--identity", "control-plane"])
        .args(["--lease-namespace", "springtide-system"])
        .args(["--lease-name", "springtide-operator"])
        .args(variable("SPRINGTIDE_OPERATOR_FLAGS")?.split_whitespace())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

fn variable(name: &'static str) -> Result<String> {
    env::var(name).context(name)
}

impl OperatorProcess {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// Where the program can't be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn()?))
    }

    /// Its memory, as the kernel counts it.
    ///
    /// # Errors
    ///
    /// Where the kernel doesn't tell.
    pub fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let kibibytes = |field: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let amount = line.and_then(|line| line.split_whitespace().next());
            Ok(amount.with_context(|| field.to_owned())?.parse()?)
        };
        Ok(Memory {
            now: kibibytes("VmRSS:")? << 10,
            peak: kibibytes("VmHWM:")? << 10,
        })
    }

    /// Asks it to end, as the kubelet would, and waits until it has.
    ///
    /// # Errors
    ///
    /// Where it doesn't end in time, or not well.
    pub async fn stop(mut self) -> Result<()> {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status()?;
        ensure!(asked.success(), "kill ended with {asked}");
        let ended = until("the operator to end", END_LIMIT, async || {
            Ok(match self.0.try_wait()? {
                Some(status) => Look::Seen(status),
                None => Look::NotYet("it runs".to_owned()),
            })
        });
        let status = ended.await?.value;
        ensure!(status.success(), "the operator ended with {status}");
        Ok(())
    }
}

impl Drop for OperatorProcess {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Status and body of the metrics of the [operator of the chart](of_the_chart).
///
/// # Errors
///
/// Where it doesn't answer in time.
pub async fn metrics(token: Option<&str>) -> Result<(u16, String)> {
    let address = variable("SPRINGTIDE_OPERATOR_ADDRESS")?;
    let authorization = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n"
    );
    let mut answer = String::new();
    tokio::time::timeout(ANSWER_LIMIT, async {
        let mut connection = TcpStream::connect(&address).await?;
        connection.write_all(request.as_bytes()).await?;
        connection.read_to_string(&mut answer).await
    })
    .await
    .context("no answer in time")??;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}
