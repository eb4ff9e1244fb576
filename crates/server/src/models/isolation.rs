//! Loads and tries a model in a process of its own, where a crash ends nothing else.
//!
//! ONNX Runtime ends its process on some models, by a signal in a kernel or by an assertion, and there are
//! models that never end, or take all memory, when they are loaded or run. Those whose graph has a node that
//! could do so ([`springtide_rows::Hazard`]) are loaded and tried by a child process, bounded in time and
//! memory, before they get into the one that serves. Models without such nodes start without it.
//!
//! Memory is bounded by looking at what the child holds: `RLIMIT_AS` and `RLIMIT_DATA` count what is only
//! reserved, of which GPU libraries and threads' stacks reserve much.

pub mod failure_record;
pub mod queue;

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::memory;

/// Time between two looks at the child: it must not take much more than its memory in between.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Part of the free memory that a child may take, in percent: the rest is for what it takes between two
/// looks, and for requests meanwhile.
const MAX_PERCENT_OF_FREE: u64 = 75;

/// Why a model doesn't get in. The text ends a sentence about its trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
pub enum IsolatedLoadFailure {
    /// The process crashed.
    #[error("ended its process by signal {signal}")]
    Crashed {
        /// The signal.
        signal: i32,
    },
    /// It took too long.
    #[error("didn't finish within {seconds} s")]
    TooLong {
        /// The bound.
        seconds: u64,
    },
    /// It took too much memory.
    #[error("took more than {mebibytes} MiB of memory")]
    TooMuchMemory {
        /// The bound.
        mebibytes: u64,
    },
    /// No process could be had: nothing was shown.
    #[error("could not be started")]
    NotStarted,
}

/// What a trial may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Longest time.
    pub timeout: Duration,
    /// Most bytes of memory; None where nobody knows how many there are.
    pub max_bytes: Option<u64>,
}

impl ResourceLimits {
    /// Those of an isolated load, with the memory that is free.
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
    /// Whether the same would come of a trial within these limits.
    #[must_use]
    pub fn still_applies(self, limits: ResourceLimits) -> bool {
        match self {
            Self::Crashed { .. } => true,
            Self::TooLong { seconds } => limits.timeout.as_secs() <= seconds,
            // What is free differs from time to time.
            Self::TooMuchMemory { mebibytes } => limits
                .max_bytes
                .is_some_and(|bytes| bytes >> 20 <= mebibytes.saturating_mul(2)),
            Self::NotStarted => false,
        }
    }
}

/// How to start an isolated load: the program that is running now, with the arguments of
/// `springtide-server probe` but for the model.
#[derive(Debug, Clone)]
pub struct IsolatedLoader {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, up to the path of the model.
    pub arguments: Vec<OsString>,
    /// Longest time that a trial may take.
    pub timeout: Duration,
    /// Most bytes of memory that it may take, however many are free.
    pub max_bytes: Option<u64>,
}

impl IsolatedLoader {
    /// What a trial may take now.
    #[must_use]
    pub fn limits(&self) -> ResourceLimits {
        ResourceLimits::of(self, memory::free())
    }

    /// Loads and tries a model. What fails by an error that the child tells is no failure here: it will be
    /// told again where the model is loaded.
    ///
    /// # Errors
    /// When it crashes or goes beyond a bound, or can't be tried.
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
            tracing::warn!(model = %model.display(), %error, "the model's probe can't be run");
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

/// A child that doesn't outlive the look at it.
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

/// Bytes of memory that a process holds, without files that are only mapped.
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
