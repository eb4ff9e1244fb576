//! The CPUs that the process may use, and the CPU time of its threads.

mod thread_time;
pub mod threads;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::thread::sched_getaffinity;
use springtide_inference::threads::available_processors;
use tokio::time::sleep;

pub use self::thread_time::thread_cpu_time;
use self::threads::RuntimeThreads;
use crate::cgroup::cpu::CpuQuotas;
use crate::metrics::{PodLoad, Window};

/// Interval of the measurements.
const MEASUREMENT_INTERVAL: Duration = Duration::from_secs(1);

/// CPUs that the process may use: those of its affinity mask, or the smallest quota of its cgroups if that is
/// less. It isn't rounded, unlike [`available_processors`], which counts threads.
#[must_use]
pub fn available_cpus(quotas: &CpuQuotas) -> f64 {
    let mask = sched_getaffinity(None).map_or_else(
        |_unknown| available_processors().get() as f64,
        |set| f64::from(set.count()),
    );
    quotas.smallest().map_or(mask, |quota| quota.min(mask))
}

/// Measures the CPU time of requests without the runs of their models. Never returns.
pub async fn measure_load(threads: Arc<RuntimeThreads>, load: Arc<PodLoad>) {
    let quotas = CpuQuotas::of_this_process();
    let (mut began, mut time, mut requests) = (Instant::now(), threads.time(), load.requests());
    let mut elapsed = Duration::ZERO;
    loop {
        let (time_now, requests_now) = (threads.time(), load.requests());
        load.learn(&Window {
            requests: requests_now.saturating_sub(requests),
            overhead: time_now.saturating_sub(time),
            elapsed,
            cpus: available_cpus(&quotas),
        });
        (time, requests) = (time_now, requests_now);
        sleep(MEASUREMENT_INTERVAL).await;
        elapsed = began.elapsed();
        began = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_cpu_is_available() {
        assert!(available_cpus(&CpuQuotas::of_this_process()) > 0.0);
    }
}
