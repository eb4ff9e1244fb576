//! The cgroups of the process, of both versions: where they are, and their limits of [`cpu`] and [`memory`].

pub(crate) mod cpu;
pub(crate) mod memory;

use std::fs;
use std::path::{Path, PathBuf};

/// The version of cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Each controller has a hierarchy.
    V1,
    /// All controllers share a hierarchy.
    V2,
}

/// The directory of one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) version: Version,
    pub(crate) path: PathBuf,
}

impl Directory {
    /// The text of one of its files. None if it can't be read.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path.join(name)).ok()
    }
}

/// The directories of a controller: of this process' cgroup and all visible ancestors. Empty if the system has no
/// cgroups.
pub(crate) fn directories_of(controller: &str) -> Vec<Directory> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    find(
        controller,
        &read("/proc/self/cgroup"),
        &read("/proc/self/mountinfo"),
    )
}

/// Finds them in `/proc/self/cgroup` (cgroups(7)) and `/proc/self/mountinfo` (`proc_pid_mountinfo`(5)).
fn find(controller: &str, cgroup: &str, mounts: &str) -> Vec<Directory> {
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
        let paths = mount.map_or_else(Vec::new, |mount| mount.directories(group));
        paths
            .into_iter()
            .map(move |path| Directory { version, path })
    });
    directories.collect()
}

/// The mount of a hierarchy of cgroups.
struct Mount<'a> {
    /// The cgroup that is its root.
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

    /// The directories of a cgroup and its visible ancestors. A cgroup outside of the mount is its root, as in a
    /// container without a cgroup namespace.
    fn directories(&self, group: &str) -> Vec<PathBuf> {
        let below = Path::new(group)
            .strip_prefix(self.root)
            .unwrap_or(Path::new(""));
        let above = below.ancestors();
        above.map(|group| self.at.join(group)).collect()
    }
}
