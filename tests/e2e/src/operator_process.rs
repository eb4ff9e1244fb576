//! The operator as a process beside a control plane without nodes, which `tests/control-plane/run` creates. Environment
//! variables contain its program, addresses and permissions.

use std::env;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::{Look, until};

/// Maximum time of a response of its own server.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Maximum time of its shutdown.
const END_LIMIT: Duration = Duration::from_secs(30);

/// An operator process that is killed at the end of the test.
pub struct OperatorProcess(Child);

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Current value.
    pub now: u64,
    /// Maximum so far.
    pub peak: u64,
}

/// The command of the compiled operator, with the permissions of an administrator and without input and output.
///
/// # Errors
///
/// If the environment variable with its path is missing.
pub fn program() -> Result<Command> {
    let mut command = Command::new(variable("SPRINGTIDE_OPERATOR")?);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

/// The operator of the cluster, with the permissions and flags of the chart and the address that [`metrics`] uses. Its
/// log is appended to that of earlier ones.
///
/// # Errors
///
/// If environment variables are missing, or if the log can't be written.
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
    /// Starts an operator.
    ///
    /// # Errors
    ///
    /// If the program can't be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn()?))
    }

    /// Its memory, from the kernel.
    ///
    /// # Errors
    ///
    /// If the kernel doesn't report it.
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

    /// Requests its shutdown, as the kubelet does, and waits for its end.
    ///
    /// # Errors
    ///
    /// If it doesn't end in time, or with an error.
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
/// If it doesn't respond in time.
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
