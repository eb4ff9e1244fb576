//! Memory of the process.

use std::fs;

use crate::cgroup::{self, Directory, Version};

/// Bytes of this process that are in memory; None where that can't be read.
#[must_use]
pub fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages = resident_pages(&statm)?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

/// Bytes in memory as Kubernetes' metrics count those of a container: the working set of its cgroup
/// (`setMemoryStats` of
/// <https://github.com/google/cadvisor/blob/v0.53.0/container/libcontainer/handler.go>). Where the process has no
/// cgroup with a limit to itself, what is [`resident`].
#[must_use]
pub fn in_use() -> Option<u64> {
    let directories = cgroup::of_this_process("memory");
    let own = directories.first().and_then(working_set);
    own.or_else(resident)
}

/// What a group has in memory without the pages of files that haven't been used for a while. None for a group
/// without a limit: it may be that of a whole session, or of the machine.
fn working_set(directory: &Directory) -> Option<u64> {
    limit_of(directory)?;
    let inactive = match directory.version {
        Version::V1 => "total_inactive_file ",
        Version::V2 => "inactive_file ",
    };
    let stat = directory.read("memory.stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix(inactive));
    Some(used_by(directory)?.saturating_sub(line?.trim().parse().ok()?))
}

/// Most bytes that the process may take: the smallest limit of its cgroups. None where there is none.
#[must_use]
pub fn limit() -> Option<u64> {
    let directories = cgroup::of_this_process("memory");
    directories.iter().filter_map(limit_of).min()
}

fn limit_of(directory: &Directory) -> Option<u64> {
    let name = match directory.version {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.max",
    };
    limit_in(&directory.read(name)?)
}

/// `max` is no limit, nor is more than any machine has, which is how version 1 says it.
fn limit_in(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)
}

/// Bytes by which [`resident`] has grown; 0 where it has shrunk.
#[must_use]
pub fn grown_since(before: Option<u64>) -> Option<u64> {
    Some(resident()?.saturating_sub(before?))
}

/// Bytes of memory that could be taken now: what the machine has available, or less where the container's
/// limit leaves less. None where that can't be read.
#[must_use]
pub fn free() -> Option<u64> {
    let machine = available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let directories = cgroup::of_this_process("memory");
    Some(
        directories
            .iter()
            .filter_map(left_in)
            .fold(machine, u64::min),
    )
}

/// From `/proc/meminfo` (<https://man7.org/linux/man-pages/man5/proc_meminfo.5.html>).
fn available(meminfo: &str) -> Option<u64> {
    let mut lines = meminfo.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What a group's limit leaves. None where it has none.
fn left_in(directory: &Directory) -> Option<u64> {
    Some(limit_of(directory)?.saturating_sub(used_by(directory)?))
}

/// What a group has in memory, with the pages of files that could be dropped.
fn used_by(directory: &Directory) -> Option<u64> {
    let used = directory.read(match directory.version {
        Version::V1 => "memory.usage_in_bytes",
        Version::V2 => "memory.current",
    })?;
    used.trim().parse().ok()
}

/// The second field of <https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html>.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_field_counts() {
        assert_eq!(resident_pages("2000 300 40 5 0 60 0\n"), Some(300));
        assert_eq!(resident_pages("2000"), None);
    }

    #[test]
    fn a_limit_beyond_all_machines_is_none() {
        assert_eq!(limit_in("536870912\n"), Some(512 << 20));
        for none in ["max\n", "9223372036854771712\n", "", "-1"] {
            assert_eq!(limit_in(none), None, "{none}");
        }
    }

    #[test]
    fn the_smallest_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let directory = |name: &str, file: &str, text: &str, version| {
            let path = root.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join(file), text).unwrap();
            Directory { version, path }
        };
        let directories = [
            directory("a", "memory.max", "max", Version::V2),
            directory("b", "memory.max", "2048", Version::V2),
            directory("c", "memory.limit_in_bytes", "1024", Version::V1),
        ];
        assert_eq!(directories.iter().filter_map(limit_of).min(), Some(1024));
    }

    #[test]
    fn the_smaller_of_machine_and_container_is_free() {
        let meminfo = "MemTotal:  8000 kB\nMemAvailable:    2000 kB\n";
        assert_eq!(available(meminfo), Some(2000 * 1024));
        let root = tempfile::tempdir().unwrap();
        let left = |limit: &str, used: &str| {
            fs::write(root.path().join("memory.max"), limit).unwrap();
            fs::write(root.path().join("memory.current"), used).unwrap();
            let path = root.path().to_owned();
            left_in(&Directory {
                version: Version::V2,
                path,
            })
        };
        assert_eq!(left("1000\n", "300\n"), Some(700));
        assert_eq!(left("1000\n", "3000\n"), Some(0));
        assert_eq!(left("max\n", "300\n"), None);
        assert!(free().is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn the_working_set_is_what_is_used_but_for_pages_of_files_that_lie_idle() {
        let root = tempfile::tempdir().unwrap();
        let group = |version, files: [(&str, &str); 3]| {
            for (name, text) in files {
                fs::write(root.path().join(name), text).unwrap();
            }
            let path = root.path().to_owned();
            working_set(&Directory { version, path })
        };
        let stat = "anon 600\ninactive_anon 1\ninactive_file 300\nactive_file 100\n";
        let of_v2 = |limit| {
            let used = ("memory.current", "1000\n");
            group(
                Version::V2,
                [("memory.max", limit), used, ("memory.stat", stat)],
            )
        };
        assert_eq!(of_v2("2000\n"), Some(700));
        assert_eq!(of_v2("max\n"), None, "it may be that of the machine");
        let stat = "inactive_file 1\ntotal_inactive_file 400\n";
        let of_v1 = group(
            Version::V1,
            [
                ("memory.limit_in_bytes", "2000\n"),
                ("memory.usage_in_bytes", "1000\n"),
                ("memory.stat", stat),
            ],
        );
        assert_eq!(of_v1, Some(600));
        assert!(in_use().is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn a_process_is_in_memory() {
        assert!(resident().is_some_and(|bytes| bytes > 0));
        assert!(grown_since(Some(u64::MAX)).is_some_and(|bytes| bytes == 0));
    }
}
