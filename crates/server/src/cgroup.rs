//! Where the cgroups of the process are, over both versions of cgroups.

pub(crate) mod cpu;

use std::fs;
use std::path::{Path, PathBuf};

/// Which kind of cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// A hierarchy for each controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// The directory of one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) version: Version,
    pub(crate) path: PathBuf,
}

impl Directory {
    /// The text of one of its files.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path.join(name)).ok()
    }
}

/// Those of this process' group and of all above it that can be seen, for a controller. None where the
/// system has no cgroups.
pub(crate) fn of_this_process(controller: &str) -> Vec<Directory> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    find(
        controller,
        &read("/proc/self/cgroup"),
        &read("/proc/self/mountinfo"),
    )
}

/// From `/proc/self/cgroup` (cgroups(7)) and `/proc/self/mountinfo` (`proc_pid_mountinfo`(5)).
pub(crate) fn find(controller: &str, cgroup: &str, mounts: &str) -> Vec<Directory> {
    let groups = cgroup.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        let version = if controllers.is_empty() {
            Version::V2
        } else if controllers.split(',').any(|other| other == controller) {
            Version::V1
        } else {
            return None;
        };
        Some((version, group))
    });
    let directories = groups.flat_map(|(version, group)| {
        let mount = mounts
            .lines()
            .find_map(|line| Mount::parse(line, version, controller));
        let above = mount.map_or_else(Vec::new, |mount| mount.directories_above(group));
        above
            .into_iter()
            .map(move |path| Directory { version, path })
    });
    directories.collect()
}

/// Where a hierarchy of cgroups is mounted.
struct Mount<'a> {
    /// The group that is seen there as the root.
    root: &'a Path,
    at: &'a Path,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str, version: Version, controller: &str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (kind, _source, options) = (system.next()?, system.next()?, system.next()?);
        let is_it = match version {
            Version::V1 => {
                kind == "cgroup" && options.split(',').any(|option| option == controller)
            }
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
