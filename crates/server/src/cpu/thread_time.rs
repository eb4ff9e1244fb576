//! The CPU time of the calling thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of the calling thread since it began.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_that_runs_takes_cpu_time() {
        let before = thread_cpu_time();
        let began = Instant::now();
        while thread_cpu_time() == before {
            assert!(began.elapsed() < Duration::from_secs(60));
        }
    }
}
