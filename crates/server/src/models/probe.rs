//! Loads and tries a model in a process of its own, where a crash ends nothing else.
//!
//! ONNX Runtime ends its process on some models: by a signal in a kernel, or by an assertion. Those whose
//! graph has a node that could do so ([`springtide_rows::Hazard`]) are loaded and tried by a child process
//! before they get into the one that serves. Models without such nodes start without it.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longest that a probe may take. One that takes longer says nothing.
const LONGEST: Duration = Duration::from_secs(300);

/// Time between two looks at whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How to start a probe: the program that is running now, with the arguments of
/// `springtide-server probe` but for the model.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, up to the path of the model.
    pub arguments: Vec<OsString>,
}

impl Probe {
    /// Whether a model can be loaded and tried without an end of the process. A probe that can't be
    /// started or takes too long shows nothing, and the model then doesn't get in.
    #[must_use]
    pub fn survives(&self, model: &Path) -> bool {
        match self.run(model) {
            // An error that it tells by itself will be told again where it is loaded.
            Ok(Some(status)) => !is_crash(status),
            Ok(None) => {
                tracing::warn!(model = %model.display(), "the model's probe takes too long");
                false
            }
            Err(error) => {
                tracing::warn!(model = %model.display(), %error, "the model's probe can't be started");
                false
            }
        }
    }

    /// None where it takes too long.
    fn run(&self, model: &Path) -> std::io::Result<Option<ExitStatus>> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(model)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let began = Instant::now();
        while began.elapsed() < LONGEST {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            sleep(LOOK_EVERY);
        }
        child.kill()?;
        child.wait()?;
        Ok(None)
    }
}

fn is_crash(status: ExitStatus) -> bool {
    status.signal().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Probe {
        Probe {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
        }
    }

    #[test]
    fn only_a_signal_is_a_crash() {
        let model = Path::new("model.onnx");
        assert!(shell("exit 0").survives(model));
        assert!(shell("exit 1").survives(model));
        assert!(!shell("kill -FPE $$").survives(model));
        assert!(!shell("kill -ABRT $$").survives(model));
    }

    #[test]
    fn a_probe_that_can_not_be_started_lets_nothing_in() {
        let probe = Probe {
            program: "/nowhere/springtide-server".into(),
            arguments: Vec::new(),
        };
        assert!(!probe.survives(Path::new("model.onnx")));
    }
}
