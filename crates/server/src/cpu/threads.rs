//! What the threads of the runtime take of the processors: they do everything for a request but run
//! the model.

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
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    alive: BTreeSet<i32>,
    /// Of those that have ended.
    time: Duration,
}

impl RuntimeThreads {
    /// The calling thread begins to work for the runtime.
    pub fn begins(&self) {
        let thread = gettid().as_raw_nonzero().get();
        self.known().alive.insert(thread);
    }

    /// The calling thread ends.
    pub fn ends(&self) {
        let thread = gettid().as_raw_nonzero().get();
        let mut known = self.known();
        known.alive.remove(&thread);
        known.time += thread_cpu_time();
    }

    /// Processor time that all of them have taken, in the kernel's ticks of 10 ms.
    #[must_use]
    pub fn time(&self) -> Duration {
        let known = self.known();
        let per_second = clock_ticks_per_second().max(1);
        let ticks: u64 = known.alive.iter().filter_map(|thread| ticks(*thread)).sum();
        known.time + Duration::from_secs(ticks) / u32::try_from(per_second).unwrap_or(100)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change stands by itself.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ticks(thread: i32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?)
}

/// User and system time of `/proc/<pid>/stat` (`proc_pid_stat`(5)): the 14th and the 15th field. The
/// second is a name in parentheses, which may hold anything.
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
    fn user_and_system_time_are_read_whatever_the_name() {
        let stat = "7 (a) b (c) S 1 2 3 0 -1 64 5 0 0 0 120 34 9 9 20 0 1 0 1 2 3";
        assert_eq!(parse(stat), Some(154));
        assert_eq!(parse("7 (a) S 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn only_threads_that_are_known_count_and_go_on_counting_when_they_have_ended() {
        let threads = RuntimeThreads::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                threads.begins();
                let began = Instant::now();
                while threads.time() < Duration::from_millis(20) {
                    assert!(began.elapsed() < Duration::from_secs(60));
                }
                threads.ends();
            });
        });
        let time = threads.time();
        assert!(time >= Duration::from_millis(10), "{time:?}");
        while thread_cpu_time() < time + Duration::from_millis(20) {}
        assert_eq!(threads.time(), time);
    }
}
