//! The memory limit and usage of cgroups.

use super::{Directory, Version, directories_of};

/// The directories of the memory controller: of this process' cgroup and all visible ancestors.
pub(crate) fn directories() -> Vec<Directory> {
    directories_of("memory")
}

/// The working set of a cgroup in bytes: its memory without inactive pages of files. None for a cgroup without a
/// limit, because it may be that of a session or of the whole machine.
pub(crate) fn working_set_of(directory: &Directory) -> Option<u64> {
    limit_of(directory)?;
    let inactive = match directory.version {
        Version::V1 => "total_inactive_file ",
        Version::V2 => "inactive_file ",
    };
    let stat = directory.read("memory.stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix(inactive));
    Some(usage_of(directory)?.saturating_sub(line?.trim().parse().ok()?))
}

/// The limit of a cgroup in bytes. None if there is none.
pub(crate) fn limit_of(directory: &Directory) -> Option<u64> {
    let name = match directory.version {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.max",
    };
    parse_limit(&directory.read(name)?)
}

/// Version 2 writes `max` for no limit, version 1 a number beyond the memory of any machine.
fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)
}

/// The unused part of a cgroup's limit in bytes. None if there is no limit.
pub(crate) fn unused_of(directory: &Directory) -> Option<u64> {
    Some(limit_of(directory)?.saturating_sub(usage_of(directory)?))
}

/// The memory of a cgroup in bytes, with all pages of files.
fn usage_of(directory: &Directory) -> Option<u64> {
    let used = directory.read(match directory.version {
        Version::V1 => "memory.usage_in_bytes",
        Version::V2 => "memory.current",
    })?;
    used.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_limit_beyond_any_machine_is_none() {
        assert_eq!(parse_limit("536870912\n"), Some(512 << 20));
        for none in ["max\n", "9223372036854771712\n", "", "-1"] {
            assert_eq!(parse_limit(none), None, "{none}");
        }
    }

    #[test]
    fn every_version_of_cgroups_has_its_limit_file() {
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
    fn the_unused_part_is_the_limit_without_the_usage() {
        let root = tempfile::tempdir().unwrap();
        let unused = |limit: &str, used: &str| {
            fs::write(root.path().join("memory.max"), limit).unwrap();
            fs::write(root.path().join("memory.current"), used).unwrap();
            let path = root.path().to_owned();
            let version = Version::V2;
            unused_of(&Directory { version, path })
        };
        assert_eq!(unused("1000\n", "300\n"), Some(700));
        assert_eq!(unused("1000\n", "3000\n"), Some(0));
        assert_eq!(unused("max\n", "300\n"), None);
    }

    #[test]
    fn the_working_set_has_no_inactive_pages_of_files() {
        let root = tempfile::tempdir().unwrap();
        let group = |version, files: [(&str, &str); 3]| {
            for (name, text) in files {
                fs::write(root.path().join(name), text).unwrap();
            }
            let path = root.path().to_owned();
            working_set_of(&Directory { version, path })
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
    }
}
