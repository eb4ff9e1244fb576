//! What tells one content of a version's folder from another.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// What a file system knows of a file. A file that takes another's place by a rename is another
/// inode, and one that is written to has another time of change, which nobody can set; so neither a
/// tool that keeps times of modification nor a model of the same size goes unnoticed. A change of the
/// owner, the mode or the number of hard links looks like a change of the content.
///
/// The device is left out: a network file system may have another number after each mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Length in bytes.
    pub bytes: u64,
    /// Time of modification: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// Time of change: seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
    /// Number of the file in its file system.
    pub inode: u64,
}

impl FileFacts {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

/// A digest of the names and the facts of all files of a version: a model may keep its weights in
/// files beside it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u8; 32]);

impl Stamp {
    /// The stamp of these files, in the order of their paths, which are relative to the version's
    /// folder.
    pub(super) fn of<'a>(files: impl IntoIterator<Item = (&'a Path, &'a FileFacts)>) -> Self {
        let mut digest = Sha256::new();
        for (path, facts) in files {
            let FileFacts {
                bytes,
                modified,
                changed,
                inode,
            } = facts;
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

impl Stamp {
    /// The digest itself.
    pub(super) const fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth, ..] = self.0;
        write!(
            formatter,
            "Stamp({first:02x}{second:02x}{third:02x}{fourth:02x}…)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: FileFacts = FileFacts {
        bytes: 5,
        modified: (1, 2),
        changed: (3, 4),
        inode: 6,
    };

    #[test]
    fn every_fact_of_every_file_counts() {
        let of = |files: &[(&str, FileFacts)]| {
            Stamp::of(files.iter().map(|(path, facts)| (Path::new(path), facts)))
        };
        let stamps = [
            of(&[]),
            of(&[("model.onnx", FACTS)]),
            of(&[("other.onnx", FACTS)]),
            of(&[("model.onnx", FileFacts { bytes: 6, ..FACTS })]),
            of(&[("model.onnx", FileFacts { inode: 7, ..FACTS })]),
            of(&[(
                "model.onnx",
                FileFacts {
                    modified: (0, 2),
                    ..FACTS
                },
            )]),
            of(&[(
                "model.onnx",
                FileFacts {
                    modified: (1, 0),
                    ..FACTS
                },
            )]),
            of(&[(
                "model.onnx",
                FileFacts {
                    changed: (0, 4),
                    ..FACTS
                },
            )]),
            of(&[(
                "model.onnx",
                FileFacts {
                    changed: (3, 0),
                    ..FACTS
                },
            )]),
            of(&[("model.onnx", FACTS), ("weights/1.bin", FACTS)]),
            of(&[("model.onnx", FACTS), ("weights/2.bin", FACTS)]),
        ];
        for (index, stamp) in stamps.iter().enumerate() {
            assert_eq!(stamps.iter().position(|other| other == stamp), Some(index));
        }
        assert_eq!(of(&[("model.onnx", FACTS)]), stamps[1]);
    }
}
