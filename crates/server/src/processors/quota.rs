//! The processor quotas of the process' cgroups, with their fractions.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the quotas are. Their values can change while the process runs: a pod may be resized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    directories: Vec<Directory>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The directory of one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    version: Version,
    path: PathBuf,
}

impl Quotas {
    /// Those of this process' group and of all above it that can be seen. None where the system has
    /// no cgroups.
    #[must_use]
    pub fn of_this_process() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::find(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    /// From `/proc/self/cgroup` (cgroups(7)) and `/proc/self/mountinfo` (`proc_pid_mountinfo`(5)).
    fn find(cgroup: &str, mounts: &str) -> Self {
        let groups = cgroup.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
            let version = if controllers.is_empty() {
                Version::V2
            } else if controllers.split(',').any(|controller| controller == "cpu") {
                Version::V1
            } else {
                return None;
            };
            Some((version, group))
        });
        let directories = groups.flat_map(|(version, group)| {
            let mount = mounts.lines().find_map(|line| Mount::parse(line, version));
            let above = mount.map_or_else(Vec::new, |mount| mount.directories_above(group));
            above
                .into_iter()
                .map(move |path| Directory { version, path })
        });
        Self {
            directories: directories.collect(),
        }
    }

    /// Processors that the smallest of them leaves. None where there is no quota.
    #[must_use]
    pub fn smallest(&self) -> Option<f64> {
        let quotas = self.directories.iter().filter_map(Directory::quota);
        quotas.reduce(f64::min)
    }
}

impl Directory {
    fn quota(&self) -> Option<f64> {
        let read = |name| fs::read_to_string(self.path.join(name)).ok();
        match self.version {
            Version::V1 => quota(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
            Version::V2 => {
                let text = read("cpu.max")?;
                let (quota_text, period) = text.split_once(' ')?;
                quota(quota_text, period)
            }
        }
    }
}

/// `max` and -1 are no quota.
fn quota(quota: &str, period: &str) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
    Some(f64::from(number(quota)?) / f64::from(number(period)?))
}

/// Where a hierarchy of cgroups is mounted.
struct Mount<'a> {
    /// The group that is seen there as the root.
    root: &'a Path,
    at: &'a Path,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str, version: Version) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (kind, _source, options) = (system.next()?, system.next()?, system.next()?);
        let is_it = match version {
            Version::V1 => kind == "cgroup" && options.split(',').any(|option| option == "cpu"),
            Version::V2 => kind == "cgroup2",
        };
        let mut mount = mount.split(' ').skip(3);
        let (root, at) = (Path::new(mount.next()?), Path::new(mount.next()?));
        is_it.then_some(Self { root, at })
    }

    /// The directory of a group and those of all above it, as far as they are seen. A group outside of
    /// what is mounted is seen as its root: so it is in a container without a namespace of its own.
    fn directories_above(&self, group: &str) -> Vec<PathBuf> {
        let below = Path::new(group)
            .strip_prefix(self.root)
            .unwrap_or(Path::new(""));
        let above = below.ancestors();
        above.map(|group| self.at.join(group)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
";

    fn found(cgroup: &str, mounts: &str) -> Vec<String> {
        let quotas = Quotas::find(cgroup, mounts);
        let paths = quotas.directories.iter();
        paths
            .map(|found| found.path.display().to_string())
            .collect()
    }

    #[test]
    fn the_group_and_all_above_it_are_looked_at() {
        let cgroup = "5:cpuset:/other\n3:cpu,cpuacct:/kubepods/pod7\n0::/\n";
        let expected = [
            "/sys/fs/cgroup/cpu,cpuacct/kubepods/pod7",
            "/sys/fs/cgroup/cpu,cpuacct/kubepods",
            "/sys/fs/cgroup/cpu,cpuacct/",
        ];
        assert_eq!(found(cgroup, V1_MOUNTS), expected);
    }

    #[test]
    fn in_a_container_the_mount_shows_its_own_group_as_the_root() {
        let mounts = "40 31 0:29 /docker/7 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let expected = ["/sys/fs/cgroup/cpu/"];
        assert_eq!(found("1:cpu:/docker/7\n", mounts), expected);
        assert_eq!(found("1:cpu:/elsewhere\n", mounts), expected);
    }

    #[test]
    fn the_unified_hierarchy_is_found() {
        let mounts = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let expected = ["/sys/fs/cgroup/pods", "/sys/fs/cgroup/"];
        assert_eq!(found("0::/pods\n", mounts), expected);
    }

    #[test]
    fn what_makes_no_sense_is_no_quota() {
        for (cgroup, mounts) in [("", ""), ("x", "y"), ("0::/pods", V1_MOUNTS)] {
            assert_eq!(Quotas::find(cgroup, mounts).smallest(), None);
        }
        for (text, period) in [("max", "100000"), ("-1", "100000"), ("1", "0"), ("", "")] {
            assert_eq!(quota(text, period), None);
        }
    }

    #[test]
    fn the_smallest_quota_counts_with_its_fraction() {
        let root = tempfile::tempdir().unwrap();
        let (outer, inner) = (root.path().join("v2"), root.path().join("v1"));
        for (directory, files) in [
            (&outer, &[("cpu.max", "150000 100000\n")][..]),
            (
                &inner,
                &[
                    ("cpu.cfs_quota_us", "20000\n"),
                    ("cpu.cfs_period_us", "100000\n"),
                ],
            ),
        ] {
            fs::create_dir(directory).unwrap();
            for (name, text) in files {
                fs::write(directory.join(name), text).unwrap();
            }
        }
        let directory = |version, path: &PathBuf| Directory {
            version,
            path: path.clone(),
        };
        let mut quotas = Quotas {
            directories: vec![directory(Version::V2, &outer)],
        };
        assert_eq!(quotas.smallest(), Some(1.5));
        quotas.directories.push(directory(Version::V1, &inner));
        assert_eq!(quotas.smallest(), Some(0.2));
    }
}
