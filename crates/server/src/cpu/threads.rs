//! The CPU time of the runtime's threads. They do all work for a request but the run of its model.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::thread::gettid;

use super::thread_time::thread_cpu_time;

/// The threads of a runtime.
#[derive(Debug, Default)]
pub struct RuntimeThreads {
    threads: Mutex<Threads>,
}

#[derive(Debug, Default)]
struct Threads {
    alive: BTreeSet<i32>,
    /// CPU time of the threads that have ended.
    time: Duration,
}

impl RuntimeThreads {
    /// Adds the calling thread.
    pub fn begin(&self) {
        let thread = gettid().as_raw_nonzero().get();
        self.threads().alive.insert(thread);
    }

    /// Removes the calling thread, which ends.
    pub fn end(&self) {
        let thread = gettid().as_raw_nonzero().get();
        let mut threads = self.threads();
        threads.alive.remove(&thread);
        threads.time += thread_cpu_time();
    }

    /// CPU time of all threads so far, with the resolution of the kernel's ticks: 10 ms.
    #[must_use]
    pub fn time(&self) -> Duration {
        let threads = self.threads();
        let per_second = clock_ticks_per_second().max(1);
        let ticks: u64 = threads
            .alive
            .iter()
            .filter_map(|thread| ticks(*thread))
            .sum();
        threads.time + Duration::from_secs(ticks) / u32::try_from(per_second).unwrap_or(100)
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ticks(thread: i32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?)
}

/// User and system time in ticks: the 14th and the 15th field of `/proc/<pid>/stat` (`proc_pid_stat`(5)). The second
/// field is a name in parentheses with any characters.
fn parse(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn user_and_system_time_are_read_with_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 0 -1 64 5 0 0 0 120 34 9 9 20 0 1 0 1 2 3";
        assert_eq!(parse(stat), Some(154));
        assert_eq!(parse("7 (a) S 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn the_time_of_added_threads_counts_and_remains_after_they_end() {
        let threads = RuntimeThreads::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                threads.begin();
                let began = Instant::now();
                while threads.time() < Duration::from_millis(20) {
                    assert!(began.elapsed() < Duration::from_secs(60));
                }
                threads.end();
            });
        });
        let time = threads.time();
        assert!(time >= Duration::from_millis(10), "{time:?}");
        while thread_cpu_time() < time + Duration::from_millis(20) {}
        assert_eq!(threads.time(), time);
    }
}
