//! Isolated loads: a hazardous model is first loaded and tried in a child process.
//!
//! Some models crash ONNX Runtime, by a signal in a kernel or by an assertion. Others never end or use all
//! memory when they are loaded or run. A model whose graph has a node that could do so
//! ([`springtide_rows::Hazard`]) is loaded and tried in a child process, with limits of time and memory,
//! before the serving process loads it. Other models are loaded directly.
//!
//! The parent polls the memory of the child. `RLIMIT_AS` and `RLIMIT_DATA` would also count reserved memory, of
//! which GPU libraries and the stacks of threads reserve much.

pub mod failure_record;

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::memory;

/// Poll interval of the child: it must not exceed its memory limit by much in between.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Maximum part of the free memory that a child may use, in percent. The rest is for its growth between two
/// polls, and for requests meanwhile.
const MAX_PERCENT_OF_FREE: u64 = 75;

/// A failed isolated load. The text completes a sentence about the child process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
pub enum IsolatedLoadFailure {
    /// The process crashed.
    #[error("ended its process by signal {signal}")]
    Crashed {
        /// The signal.
        signal: i32,
    },
    /// It exceeded the timeout.
    #[error("didn't finish within {seconds} s")]
    TooLong {
        /// The timeout.
        seconds: u64,
    },
    /// It exceeded the memory limit.
    #[error("took more than {mebibytes} MiB of memory")]
    TooMuchMemory {
        /// The limit.
        mebibytes: u64,
    },
    /// The process could not be started: nothing is known of the model.
    #[error("could not be started")]
    NotStarted,
}

/// Limits of an isolated load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Maximum time.
    pub timeout: Duration,
    /// Maximum memory, in bytes. None where the free memory is unknown.
    pub max_bytes: Option<u64>,
}

impl ResourceLimits {
    /// The configured limits, lowered by the memory that is free.
    fn of(loader: &IsolatedLoader, free: Option<u64>) -> Self {
        let part = free.map(|free| free / 100 * MAX_PERCENT_OF_FREE);
        Self {
            timeout: loader.timeout,
            max_bytes: [part, loader.max_bytes].into_iter().flatten().min(),
        }
    }

    const fn too_long(self) -> IsolatedLoadFailure {
        IsolatedLoadFailure::TooLong {
            seconds: self.timeout.as_secs(),
        }
    }

    fn too_much(self, taken: u64) -> Option<IsolatedLoadFailure> {
        let bytes = self.max_bytes.filter(|bytes| taken > *bytes)?;
        Some(IsolatedLoadFailure::TooMuchMemory {
            mebibytes: bytes >> 20,
        })
    }
}

impl IsolatedLoadFailure {
    /// Whether another load with these limits would fail the same way.
    #[must_use]
    pub fn still_applies(self, limits: ResourceLimits) -> bool {
        match self {
            Self::Crashed { .. } => true,
            Self::TooLong { seconds } => limits.timeout.as_secs() <= seconds,
            // Free memory varies: only a clearly higher limit is worth another load.
            Self::TooMuchMemory { mebibytes } => limits
                .max_bytes
                .is_some_and(|bytes| bytes >> 20 <= mebibytes.saturating_mul(2)),
            Self::NotStarted => false,
        }
    }
}

/// Starts isolated loads: the running program with the arguments of `springtide-server probe`, except the model.
#[derive(Debug, Clone)]
pub struct IsolatedLoader {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, up to the path of the model.
    pub arguments: Vec<OsString>,
    /// Timeout of a load.
    pub timeout: Duration,
    /// Memory limit, in bytes, in addition to the one from free memory.
    pub max_bytes: Option<u64>,
}

impl IsolatedLoader {
    /// The current limits of a load.
    #[must_use]
    pub fn limits(&self) -> ResourceLimits {
        ResourceLimits::of(self, memory::free())
    }

    /// Loads and tries a model. An error that the child reports is no failure here: the serving process reports
    /// it again when it loads the model.
    ///
    /// # Errors
    /// When the child crashes, exceeds a limit or can't be started.
    pub fn run(&self, model: &Path, limits: ResourceLimits) -> Result<(), IsolatedLoadFailure> {
        let began = Instant::now();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(model)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let not_started = |error: std::io::Error| {
            tracing::warn!(model = %model.display(), %error, "the isolated load of the model can't be started");
            IsolatedLoadFailure::NotStarted
        };
        let mut child = KilledOnDrop(child.map_err(not_started)?);
        loop {
            if let Some(status) = child.0.try_wait().map_err(not_started)? {
                return outcome(status);
            }
            let taken = memory_of(child.0.id()).unwrap_or(0);
            if let Some(too_much) = limits.too_much(taken) {
                return Err(too_much);
            }
            if began.elapsed() > limits.timeout {
                return Err(limits.too_long());
            }
            sleep(POLL_INTERVAL);
        }
    }
}

/// A child process that is killed when this is dropped.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _waited_for = self.0.wait();
    }
}

fn outcome(status: ExitStatus) -> Result<(), IsolatedLoadFailure> {
    match status.signal() {
        Some(signal) => Err(IsolatedLoadFailure::Crashed { signal }),
        None => Ok(()),
    }
}

/// Memory of a process in bytes, without mapped files.
fn memory_of(process: u32) -> Option<u64> {
    anonymous_memory(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// From `/proc/PID/status` (<https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>).
fn anonymous_memory(status: &str) -> Option<u64> {
    let kibibytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let held = kibibytes("RssAnon:")?.saturating_add(kibibytes("RssShmem:")?);
    held.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ResourceLimits = ResourceLimits {
        timeout: Duration::from_secs(60),
        max_bytes: None,
    };

    fn run(script: &str, limits: ResourceLimits) -> Result<(), IsolatedLoadFailure> {
        let loader = IsolatedLoader {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            timeout: limits.timeout,
            max_bytes: limits.max_bytes,
        };
        loader.run(Path::new("model.onnx"), limits)
    }

    #[test]
    fn a_trial_may_take_what_it_is_given_and_no_more_than_a_part_of_what_is_free() {
        for (given, free, max_bytes) in [
            (None, None, None),
            (None, Some(1_000), Some(750)),
            (Some(900), Some(1_000), Some(750)),
            (Some(700), Some(1_000), Some(700)),
            (Some(700), None, Some(700)),
        ] {
            let loader = IsolatedLoader {
                program: PathBuf::new(),
                arguments: Vec::new(),
                timeout: LIMITS.timeout,
                max_bytes: given,
            };
            assert_eq!(
                ResourceLimits::of(&loader, free),
                ResourceLimits {
                    max_bytes,
                    ..LIMITS
                }
            );
        }
    }

    #[test]
    fn only_a_signal_is_a_crash() {
        assert_eq!(run("exit 0", LIMITS), Ok(()));
        assert_eq!(run("exit 1", LIMITS), Ok(()));
        for (script, signal) in [("kill -FPE $$", 8), ("kill -ABRT $$", 6)] {
            assert_eq!(
                run(script, LIMITS),
                Err(IsolatedLoadFailure::Crashed { signal })
            );
        }
    }

    #[test]
    fn what_does_not_end_is_ended() {
        let timeout = Duration::ZERO;
        let failure = run("while :; do :; done", ResourceLimits { timeout, ..LIMITS });
        assert_eq!(failure, Err(IsolatedLoadFailure::TooLong { seconds: 0 }));
    }

    #[test]
    fn what_takes_too_much_memory_is_ended() {
        let max_bytes = Some(50 << 20);
        let script = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); while :; do :; done";
        let failure = run(
            script,
            ResourceLimits {
                max_bytes,
                ..LIMITS
            },
        );
        let too_much = IsolatedLoadFailure::TooMuchMemory { mebibytes: 50 };
        assert_eq!(failure, Err(too_much));
        assert_eq!(
            run(
                "exit 0",
                ResourceLimits {
                    max_bytes,
                    ..LIMITS
                }
            ),
            Ok(())
        );
    }

    #[test]
    fn a_probe_that_can_not_be_started_lets_nothing_in() {
        let loader = IsolatedLoader {
            program: "/nowhere/springtide-server".into(),
            arguments: Vec::new(),
            timeout: LIMITS.timeout,
            max_bytes: None,
        };
        let failure = loader.run(Path::new("model.onnx"), LIMITS);
        assert_eq!(failure, Err(IsolatedLoadFailure::NotStarted));
    }

    #[test]
    fn a_failure_holds_as_long_as_no_more_is_allowed() {
        let limits = |seconds, mebibytes: u64| ResourceLimits {
            timeout: Duration::from_secs(seconds),
            max_bytes: Some(mebibytes << 20),
        };
        let signal = 11;
        assert!(IsolatedLoadFailure::Crashed { signal }.still_applies(limits(1_000, 100_000)));
        let too_long = IsolatedLoadFailure::TooLong { seconds: 60 };
        assert!(too_long.still_applies(limits(60, 1)));
        assert!(!too_long.still_applies(limits(61, 1)));
        let too_much = IsolatedLoadFailure::TooMuchMemory { mebibytes: 100 };
        assert!(too_much.still_applies(limits(1, 200)));
        assert!(!too_much.still_applies(limits(1, 201)));
        assert!(!too_much.still_applies(LIMITS));
        assert!(!IsolatedLoadFailure::NotStarted.still_applies(LIMITS));
    }

    #[test]
    fn mapped_files_are_not_held() {
        let status = "VmRSS:\t 1996 kB\nRssAnon:\t     148 kB\nRssFile:\t    1848 kB\nRssShmem:\t       2 kB\n";
        assert_eq!(anonymous_memory(status), Some(150 * 1024));
        assert_eq!(anonymous_memory("State:\tZ (zombie)\n"), None);
    }
}
