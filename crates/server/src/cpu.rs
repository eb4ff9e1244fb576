//! The processors that the process may use, and what its threads take of them.

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

/// Time between two looks at what requests take.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Processors that the process may keep busy: those of its affinity mask, or the part of them that its
/// cgroups' quotas leave. Unlike [`available_processors`], which counts threads, not rounded.
#[must_use]
pub fn available_cpus(quotas: &CpuQuotas) -> f64 {
    let mask = sched_getaffinity(None).map_or_else(
        |_unknown| available_processors().get() as f64,
        |set| f64::from(set.count()),
    );
    quotas.smallest().map_or(mask, |quota| quota.min(mask))
}

/// Measures what requests take of the processors besides the model, for ever.
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
        sleep(LOOK_EVERY).await;
        elapsed = began.elapsed();
        began = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_part_of_a_processor() {
        assert!(available_cpus(&CpuQuotas::of_this_process()) > 0.0);
    }
}
