//! Division of the available CPUs among workers.

use std::num::NonZeroUsize;
use std::thread;

/// Threads of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// Number of workers, which run batches concurrently, each in its own session.
    pub workers: NonZeroUsize,
    /// Threads per worker.
    pub per_worker: NonZeroUsize,
}

impl Threads {
    /// Divides `processors` among `workers`. The default is one worker for every two CPUs: a large model benefits
    /// from a second thread, and a small one runs several batches concurrently.
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

/// CPUs that this process may use: the minimum of the machine's CPUs, the affinity mask and the CPU quota of the
/// cgroup, rounded down, at least 1. ONNX Runtime itself would count the machine's CPUs, and a pod with a quota of 2
/// on a host with 64 CPUs would be throttled.
///
/// The [standard library](https://doc.rust-lang.org/std/thread/fn.available_parallelism.html) reads the quota of
/// cgroups v1 and v2: the minimum of the process's group and its parents. A fraction is rounded down. With a quota
/// of 1.5, one inference thread runs unthrottled and leaves half a CPU for the threads of HTTP. A quota below 1
/// throttles batches.
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
