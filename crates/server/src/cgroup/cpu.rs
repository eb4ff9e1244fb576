//! The CPU quotas of cgroups, in CPUs with fractions.

use super::{Directory, Version, directories_of};

/// The cgroups whose quotas limit the process. The quotas can change while the process runs, because pods can be
/// resized in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuQuotas {
    directories: Vec<Directory>,
}

impl CpuQuotas {
    /// Of this process' cgroup and all visible ancestors. Empty if the system has no cgroups.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            directories: directories_of("cpu"),
        }
    }

    /// The smallest quota, in CPUs. None if there is none.
    #[must_use]
    pub fn smallest(&self) -> Option<f64> {
        self.directories
            .iter()
            .filter_map(quota_of)
            .reduce(f64::min)
    }
}

fn quota_of(directory: &Directory) -> Option<f64> {
    match directory.version {
        Version::V1 => cpus(
            &directory.read("cpu.cfs_quota_us")?,
            &directory.read("cpu.cfs_period_us")?,
        ),
        Version::V2 => {
            let text = directory.read("cpu.max")?;
            let (quota_text, period) = text.split_once(' ')?;
            cpus(quota_text, period)
        }
    }
}

/// The quota in CPUs: time per period. `max` and -1 are no quota.
fn cpus(quota: &str, period: &str) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
    Some(f64::from(number(quota)?) / f64::from(number(period)?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const V1_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
";

    fn found(cgroup: &str, mounts: &str) -> Vec<String> {
        let found = super::super::find("cpu", cgroup, mounts);
        found
            .iter()
            .map(|found| found.path.display().to_string())
            .collect()
    }

    #[test]
    fn the_cgroup_and_its_ancestors_are_found() {
        let cgroup = "5:cpuset:/other\n3:cpu,cpuacct:/kubepods/pod7\n0::/\n";
        let expected = [
            "/sys/fs/cgroup/cpu,cpuacct/kubepods/pod7",
            "/sys/fs/cgroup/cpu,cpuacct/kubepods",
            "/sys/fs/cgroup/cpu,cpuacct/",
        ];
        assert_eq!(found(cgroup, V1_MOUNTS), expected);
    }

    #[test]
    fn in_a_container_its_own_cgroup_is_the_root_of_the_mount() {
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
    fn invalid_files_are_no_quota() {
        for (cgroup, mounts) in [("", ""), ("x", "y"), ("0::/pods", V1_MOUNTS)] {
            let directories = super::super::find("cpu", cgroup, mounts);
            assert_eq!(CpuQuotas { directories }.smallest(), None);
        }
        for (text, period) in [("max", "100000"), ("-1", "100000"), ("1", "0"), ("", "")] {
            assert_eq!(cpus(text, period), None);
        }
    }

    #[test]
    fn the_smallest_quota_has_its_fraction() {
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
        let mut quotas = CpuQuotas {
            directories: vec![directory(Version::V2, &outer)],
        };
        assert_eq!(quotas.smallest(), Some(1.5));
        quotas.directories.push(directory(Version::V1, &inner));
        assert_eq!(quotas.smallest(), Some(0.2));
    }
}
