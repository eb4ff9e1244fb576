//! Fingerprints, which identify the content of a version's folder.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Metadata of a file. A rename gives a file another inode, and a write another change time, which can't be set. A
/// changed file is therefore detected even if its modification time and size stay the same. A change of the owner,
/// the mode or the number of hard links looks like a change of the content.
///
/// The device is left out: a network file system may get another number at each mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Length in bytes.
    pub bytes: u64,
    /// Modification time: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// Change time: seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
    /// Inode number.
    pub inode: u64,
}

impl FileStat {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

/// A digest of the paths and metadata of all files of a version. A model may keep its weights in files beside it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of files in the order of their paths, which are relative to the version's folder.
    pub(super) fn of<'a>(files: impl IntoIterator<Item = (&'a Path, &'a FileStat)>) -> Self {
        let mut digest = Sha256::new();
        for (path, stat) in files {
            let FileStat {
                bytes,
                modified,
                changed,
                inode,
            } = stat;
            let path = path.as_os_str().as_bytes();
            digest.update(path.len().to_le_bytes());
            digest.update(path);
            digest.update(bytes.to_le_bytes());
            digest.update(inode.to_le_bytes());
            for (seconds, nanoseconds) in [modified, changed] {
                digest.update(seconds.to_le_bytes());
                digest.update(nanoseconds.to_le_bytes());
            }
        }
        Self(digest.finalize().into())
    }
}

impl Fingerprint {
    /// The digest.
    pub(super) const fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth, ..] = self.0;
        write!(
            formatter,
            "Fingerprint({first:02x}{second:02x}{third:02x}{fourth:02x}…)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: FileStat = FileStat {
        bytes: 5,
        modified: (1, 2),
        changed: (3, 4),
        inode: 6,
    };

    #[test]
    fn every_fact_of_every_file_counts() {
        let of = |files: &[(&str, FileStat)]| {
            Fingerprint::of(files.iter().map(|(path, stat)| (Path::new(path), stat)))
        };
        let fingerprints = [
            of(&[]),
            of(&[("model.onnx", STAT)]),
            of(&[("other.onnx", STAT)]),
            of(&[("model.onnx", FileStat { bytes: 6, ..STAT })]),
            of(&[("model.onnx", FileStat { inode: 7, ..STAT })]),
            of(&[(
                "model.onnx",
                FileStat {
                    modified: (0, 2),
                    ..STAT
                },
            )]),
            of(&[(
                "model.onnx",
                FileStat {
                    modified: (1, 0),
                    ..STAT
                },
            )]),
            of(&[(
                "model.onnx",
                FileStat {
                    changed: (0, 4),
                    ..STAT
                },
            )]),
            of(&[(
                "model.onnx",
                FileStat {
                    changed: (3, 0),
                    ..STAT
                },
            )]),
            of(&[("model.onnx", STAT), ("weights/1.bin", STAT)]),
            of(&[("model.onnx", STAT), ("weights/2.bin", STAT)]),
        ];
        for (index, fingerprint) in fingerprints.iter().enumerate() {
            assert_eq!(
                fingerprints.iter().position(|other| other == fingerprint),
                Some(index)
            );
        }
        assert_eq!(of(&[("model.onnx", STAT)]), fingerprints[1]);
    }
}
