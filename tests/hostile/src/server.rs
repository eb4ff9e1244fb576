//! The attacked server: its start, its observation, and its end by its process ID.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

/// Maximum time until the server listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// Addresses of the server.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) health: SocketAddr,
}

/// Whether the process ran until the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It did, with this process ID.
    Alive,
    /// It had ended by itself.
    Gone,
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    addresses: Addresses,
    panics: Arc<AtomicU64>,
}

impl Server {
    /// Starts the binary on free ports with a limit of connections, and waits until it listens.
    ///
    /// # Errors
    ///
    /// If it can't be started, or doesn't listen in time.
    pub(crate) fn start(binary: &Path, model: &Path, connections: u64) -> anyhow::Result<Self> {
        let mut child = Command::new(binary)
            .args(["serve", "--host", "127.0.0.1", "--port", "0"])
            .args(["--grpc-port", "0", "--health-port", "0"])
            .args(["--max-connections", &connections.to_string()])
            .arg("--model-path")
            .arg(model)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| binary.display().to_string())?;
        let log = child.stderr.take();
        let panics = Arc::new(AtomicU64::new(0));
        let (sender, receiver) = mpsc::channel();
        let mut server = Self {
            child,
            // The log contains the ports.
            addresses: Addresses {
                http: SocketAddr::from(([127, 0, 0, 1], 0)),
                grpc: SocketAddr::from(([127, 0, 0, 1], 0)),
                health: SocketAddr::from(([127, 0, 0, 1], 0)),
            },
            panics: Arc::clone(&panics),
        };
        let log = log.ok_or_else(|| anyhow!("no log of the server"))?;
        thread::spawn(move || read(log, &sender, &panics));
        for _ in 0..3 {
            let (protocol, address) = receiver
                .recv_timeout(PATIENCE)
                .context("the server doesn't listen; is ORT_DYLIB_PATH set?")?;
            match protocol.as_str() {
                "http" => server.addresses.http = address,
                "grpc" => server.addresses.grpc = address,
                "health" => server.addresses.health = address,
                other => bail!("the server listens for {other}"),
            }
        }
        Ok(server)
    }

    /// Its addresses.
    pub(crate) const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The maximum of its memory so far, in bytes. `None` if it has ended.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        peak_in(&std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?)
    }

    /// Whether it runs. It is never restarted.
    pub(crate) fn end(&mut self) -> End {
        match self.child.try_wait() {
            Ok(None) => End::Alive,
            Ok(Some(_)) | Err(_) => End::Gone,
        }
    }

    /// Lines of its log about a panic.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Reads the log to its end, so that the server never blocks on it.
fn read(log: ChildStderr, listening: &mpsc::Sender<(String, SocketAddr)>, panics: &AtomicU64) {
    // Not as text: it may contain bytes of the attackers.
    for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if line.contains("panicked") {
            panics.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(heard) = listens(&line) {
            let _nobody_waits = listening.send(heard);
        }
    }
}

/// Protocol and address, if the line reports them.
fn listens(line: &str) -> Option<(String, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line.get("message")? != "listening" {
        return None;
    }
    let protocol = line.get("protocol")?.as_str()?.to_owned();
    Some((protocol, line.get("address")?.as_str()?.parse().ok()?))
}

/// From `/proc/PID/status` (<https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>).
fn peak_in(status: &str) -> Option<u64> {
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_that_tells_an_address_does() {
        let line = r#"{"level":"INFO","message":"listening","protocol":"grpc","address":"127.0.0.1:8001"}"#;
        let address = SocketAddr::from(([127, 0, 0, 1], 8001));
        assert_eq!(listens(line), Some(("grpc".to_owned(), address)));
        for other in [
            "",
            "listening",
            r#"{"message":"ready"}"#,
            r#"{"message":"listening"}"#,
        ] {
            assert_eq!(listens(other), None, "{other}");
        }
    }

    #[test]
    fn the_peak_is_read_from_the_status() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t   28 kB\nVmRSS:\t   20 kB\n";
        assert_eq!(peak_in(status), Some(28 * 1024));
        assert_eq!(peak_in("Name:\tx\n"), None);
    }
}
