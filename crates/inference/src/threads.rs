//! How the processors that a server may use are divided.

use std::num::NonZeroUsize;
use std::thread;

/// Threads that run a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// Batches that run at the same time, each on a session of its own.
    pub workers: NonZeroUsize,
    /// Threads that work on one batch.
    pub per_worker: NonZeroUsize,
}

impl Threads {
    /// Divides `processors` among `workers`, or chooses the workers: one for every two processors,
    /// so that a large model still gains from a second thread and a small one, which doesn't, runs
    /// several batches at once.
    #[must_use]
    pub fn divide(processors: NonZeroUsize, workers: Option<NonZeroUsize>) -> Self {
        let share = |count: NonZeroUsize, by: usize| {
            NonZeroUsize::new(count.get() / by).unwrap_or(NonZeroUsize::MIN)
        };
        let workers = workers.unwrap_or_else(|| share(processors, 2));
        Self {
            workers,
            per_worker: share(processors, workers.get()),
        }
    }
}

/// Processors that this process may use: the smallest of the machine's, the affinity mask's and the
/// cgroup's CPU quota, rounded down and at least 1. ONNX Runtime by itself would count the machine's,
/// and a pod with a quota of 2 on a host with 64 would be throttled.
///
/// The [standard library](https://doc.rust-lang.org/std/thread/fn.available_parallelism.html) knows
/// the quota of cgroups v1 and v2, the smallest of the process's own group and of all above it. A
/// fraction is rounded down: of a quota of 1.5, one thread that computes without being throttled
/// leaves the half for the threads that speak HTTP. Below 1 there is nothing to round to, and
/// batches are throttled, as whoever set the quota wanted.
#[must_use]
pub fn available_processors() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divide(processors: usize, workers: Option<usize>) -> (usize, usize) {
        let count = |count| NonZeroUsize::new(count).unwrap();
        let threads = Threads::divide(count(processors), workers.map(count));
        (threads.workers.get(), threads.per_worker.get())
    }

    #[test]
    fn workers_times_threads_stay_within_the_processors() {
        let chosen = [
            (1, (1, 1)),
            (2, (1, 2)),
            (3, (1, 3)),
            (4, (2, 2)),
            (9, (4, 2)),
        ];
        for (processors, expected) in chosen {
            assert_eq!(
                divide(processors, None),
                expected,
                "{processors} processors"
            );
        }
    }

    #[test]
    fn a_given_number_of_workers_is_kept() {
        assert_eq!(divide(8, Some(2)), (2, 4));
        assert_eq!(divide(2, Some(2)), (2, 1));
        assert_eq!(
            divide(1, Some(3)),
            (3, 1),
            "more workers than processors, as asked for"
        );
    }
}
