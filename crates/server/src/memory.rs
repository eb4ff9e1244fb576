//! The memory of the process.

use std::fs;

use crate::cgroup::memory::{directories, limit_of, unused_of, working_set_of};

/// Resident memory of this process, in bytes. None if it can't be read.
#[must_use]
pub fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages = resident_pages(&statm)?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

/// Memory in use in bytes, as Kubernetes' metrics count that of a container: the working set of its cgroup
/// (`setMemoryStats` of
/// <https://github.com/google/cadvisor/blob/v0.53.0/container/libcontainer/handler.go>). If the process has no
/// cgroup with a limit, its resident memory.
#[must_use]
pub fn in_use() -> Option<u64> {
    let own = directories().first().and_then(working_set_of);
    own.or_else(resident)
}

/// The memory limit of the process in bytes: the smallest limit of its cgroups. None if there is none.
#[must_use]
pub fn limit() -> Option<u64> {
    directories().iter().filter_map(limit_of).min()
}

/// Growth of [`resident`] in bytes since an earlier value. 0 if it has shrunk.
#[must_use]
pub fn grown_since(before: Option<u64>) -> Option<u64> {
    Some(resident()?.saturating_sub(before?))
}

/// Memory that could be allocated now, in bytes: the available memory of the machine, or the unused part of the
/// container's limit if that is less. None if it can't be read.
#[must_use]
pub fn free() -> Option<u64> {
    let machine = available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let unused = directories().iter().filter_map(unused_of).min();
    Some(unused.map_or(machine, |unused| unused.min(machine)))
}

/// `MemAvailable` of `/proc/meminfo` in bytes (<https://man7.org/linux/man-pages/man5/proc_meminfo.5.html>).
fn available(meminfo: &str) -> Option<u64> {
    let mut lines = meminfo.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Resident pages: the second field of <https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html>.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_pages_are_the_second_field() {
        assert_eq!(resident_pages("2000 300 40 5 0 60 0\n"), Some(300));
        assert_eq!(resident_pages("2000"), None);
    }

    #[test]
    fn available_memory_is_read_in_bytes() {
        let meminfo = "MemTotal:  8000 kB\nMemAvailable:    2000 kB\n";
        assert_eq!(available(meminfo), Some(2000 * 1024));
        assert!(free().is_some_and(|bytes| bytes > 0));
        assert!(in_use().is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn this_process_has_resident_memory() {
        assert!(resident().is_some_and(|bytes| bytes > 0));
        assert!(grown_since(Some(u64::MAX)).is_some_and(|bytes| bytes == 0));
    }
}
