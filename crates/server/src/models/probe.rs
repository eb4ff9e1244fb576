//! Loads and tries a model in a process of its own, where a crash ends nothing else.
//!
//! ONNX Runtime ends its process on some models, by a signal in a kernel or by an assertion, and there are
//! models that never end, or take all memory, when they are loaded or run. Those whose graph has a node that
//! could do so ([`springtide_rows::Hazard`]) are loaded and tried by a child process, bounded in time and
//! memory, before they get into the one that serves. Models without such nodes start without it.
//!
//! Memory is bounded by looking at what the child holds: `RLIMIT_AS` and `RLIMIT_DATA` count what is only
//! reserved, of which GPU libraries and threads' stacks reserve much.

pub mod notes;

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
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Part of the free memory that a child may take, in percent: the rest is for what it takes between two
/// looks, and for requests meanwhile.
const PART_OF_FREE: u64 = 75;

/// Why a model doesn't get in. The text ends a sentence about its trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
pub enum ProbeFailure {
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
pub struct Bounds {
    /// Longest time.
    pub time: Duration,
    /// Most bytes of memory; None where nobody knows how many there are.
    pub bytes: Option<u64>,
}

impl Bounds {
    /// Those of a probe, with the memory that is free.
    fn of(probe: &Probe, free: Option<u64>) -> Self {
        let part = free.map(|free| free / 100 * PART_OF_FREE);
        Self {
            time: probe.time,
            bytes: [part, probe.bytes].into_iter().flatten().min(),
        }
    }

    const fn too_long(self) -> ProbeFailure {
        ProbeFailure::TooLong {
            seconds: self.time.as_secs(),
        }
    }

    fn too_much(self, taken: u64) -> Option<ProbeFailure> {
        let bytes = self.bytes.filter(|bytes| taken > *bytes)?;
        Some(ProbeFailure::TooMuchMemory {
            mebibytes: bytes >> 20,
        })
    }
}

impl ProbeFailure {
    /// Whether the same would come of a trial within these bounds.
    #[must_use]
    pub fn holds(self, bounds: Bounds) -> bool {
        match self {
            Self::Crashed { .. } => true,
            Self::TooLong { seconds } => bounds.time.as_secs() <= seconds,
            // What is free differs from time to time.
            Self::TooMuchMemory { mebibytes } => bounds
                .bytes
                .is_some_and(|bytes| bytes >> 20 <= mebibytes.saturating_mul(2)),
            Self::NotStarted => false,
        }
    }
}

/// How to start a probe: the program that is running now, with the arguments of
/// `springtide-server probe` but for the model.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, up to the path of the model.
    pub arguments: Vec<OsString>,
    /// Longest time that a trial may take.
    pub time: Duration,
    /// Most bytes of memory that it may take, however many are free.
    pub bytes: Option<u64>,
}

impl Probe {
    /// What a trial may take now.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds::of(self, memory::free())
    }

    /// Loads and tries a model. What fails by an error that the child tells is no failure here: it will be
    /// told again where the model is loaded.
    ///
    /// # Errors
    /// When it crashes or goes beyond a bound, or can't be tried.
    pub fn run(&self, model: &Path, bounds: Bounds) -> Result<(), ProbeFailure> {
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
            ProbeFailure::NotStarted
        };
        let mut child = Running(child.map_err(not_started)?);
        loop {
            if let Some(status) = child.0.try_wait().map_err(not_started)? {
                return verdict(status);
            }
            let taken = held_by(child.0.id()).unwrap_or(0);
            if let Some(too_much) = bounds.too_much(taken) {
                return Err(too_much);
            }
            if began.elapsed() > bounds.time {
                return Err(bounds.too_long());
            }
            sleep(LOOK_EVERY);
        }
    }
}

/// A child that doesn't outlive the look at it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _waited_for = self.0.wait();
    }
}

fn verdict(status: ExitStatus) -> Result<(), ProbeFailure> {
    match status.signal() {
        Some(signal) => Err(ProbeFailure::Crashed { signal }),
        None => Ok(()),
    }
}

/// Bytes of memory that a process holds, without files that are only mapped.
fn held_by(process: u32) -> Option<u64> {
    held(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// From `/proc/PID/status` (<https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>).
fn held(status: &str) -> Option<u64> {
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

    const BOUNDS: Bounds = Bounds {
        time: Duration::from_secs(60),
        bytes: None,
    };

    fn run(script: &str, bounds: Bounds) -> Result<(), ProbeFailure> {
        let probe = Probe {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            time: bounds.time,
            bytes: bounds.bytes,
        };
        probe.run(Path::new("model.onnx"), bounds)
    }

    #[test]
    fn a_trial_may_take_what_it_is_given_and_no_more_than_a_part_of_what_is_free() {
        for (given, free, bytes) in [
            (None, None, None),
            (None, Some(1_000), Some(750)),
            (Some(900), Some(1_000), Some(750)),
            (Some(700), Some(1_000), Some(700)),
            (Some(700), None, Some(700)),
        ] {
            let probe = Probe {
                program: PathBuf::new(),
                arguments: Vec::new(),
                time: BOUNDS.time,
                bytes: given,
            };
            assert_eq!(Bounds::of(&probe, free), Bounds { bytes, ..BOUNDS });
        }
    }

    #[test]
    fn only_a_signal_is_a_crash() {
        assert_eq!(run("exit 0", BOUNDS), Ok(()));
        assert_eq!(run("exit 1", BOUNDS), Ok(()));
        for (script, signal) in [("kill -FPE $$", 8), ("kill -ABRT $$", 6)] {
            assert_eq!(run(script, BOUNDS), Err(ProbeFailure::Crashed { signal }));
        }
    }

    #[test]
    fn what_does_not_end_is_ended() {
        let time = Duration::ZERO;
        let failure = run("while :; do :; done", Bounds { time, ..BOUNDS });
        assert_eq!(failure, Err(ProbeFailure::TooLong { seconds: 0 }));
    }

    #[test]
    fn what_takes_too_much_memory_is_ended() {
        let bytes = Some(50 << 20);
        let script = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); while :; do :; done";
        let failure = run(script, Bounds { bytes, ..BOUNDS });
        let too_much = ProbeFailure::TooMuchMemory { mebibytes: 50 };
        assert_eq!(failure, Err(too_much));
        assert_eq!(run("exit 0", Bounds { bytes, ..BOUNDS }), Ok(()));
    }

    #[test]
    fn a_probe_that_can_not_be_started_lets_nothing_in() {
        let probe = Probe {
            program: "/nowhere/springtide-server".into(),
            arguments: Vec::new(),
            time: BOUNDS.time,
            bytes: None,
        };
        let failure = probe.run(Path::new("model.onnx"), BOUNDS);
        assert_eq!(failure, Err(ProbeFailure::NotStarted));
    }

    #[test]
    fn a_failure_holds_as_long_as_no_more_is_allowed() {
        let bounds = |seconds, mebibytes: u64| Bounds {
            time: Duration::from_secs(seconds),
            bytes: Some(mebibytes << 20),
        };
        let signal = 11;
        assert!(ProbeFailure::Crashed { signal }.holds(bounds(1_000, 100_000)));
        let too_long = ProbeFailure::TooLong { seconds: 60 };
        assert!(too_long.holds(bounds(60, 1)));
        assert!(!too_long.holds(bounds(61, 1)));
        let too_much = ProbeFailure::TooMuchMemory { mebibytes: 100 };
        assert!(too_much.holds(bounds(1, 200)));
        assert!(!too_much.holds(bounds(1, 201)));
        assert!(!too_much.holds(BOUNDS));
        assert!(!ProbeFailure::NotStarted.holds(BOUNDS));
    }

    #[test]
    fn mapped_files_are_not_held() {
        let status = "VmRSS:\t 1996 kB\nRssAnon:\t     148 kB\nRssFile:\t    1848 kB\nRssShmem:\t       2 kB\n";
        assert_eq!(held(status), Some(150 * 1024));
        assert_eq!(held("State:\tZ (zombie)\n"), None);
    }
}
