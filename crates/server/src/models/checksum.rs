//! Checksums of a model file, and of a folder with a model.
//!
//! The checksum of a folder is the SHA-256 of a list with one line for each file: the file's SHA-256, two blanks, the
//! path in the folder, and a line break, sorted by path, byte by byte. So the tools `find`, `sort` and `sha256sum` give
//! the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256 as Hasher};
use springtide_contract::sha256::Sha256;

/// Maximum number of entries of a folder and its subfolders. A folder with more isn't one of a model.
const MAX_ENTRIES: usize = 10_000;

/// Maximum depth of subfolders.
const MAX_DEPTH: usize = 16;

/// A file or folder without a checksum. Paths are those in the folder.
#[derive(Debug, thiserror::Error)]
pub enum ChecksumError {
    /// It can't be read.
    #[error("{path} can't be read: {error}")]
    Read {
        /// The file or folder.
        path: String,
        /// The error of the operating system.
        error: io::Error,
    },
    /// A link leads out of the folder.
    #[error("the link {0} leads out of the folder: replace it by the file itself")]
    Outside(String),
    /// A name that the list can't express.
    #[error("the name of {0} has a line break or a backslash: rename it")]
    Name(String),
    /// There are too many files.
    #[error("the folder has more than {MAX_ENTRIES} files and folders")]
    TooMany,
    /// It is nested too deep.
    #[error("{0} is more than {MAX_DEPTH} folders deep: is it a link to a folder above?")]
    TooDeep(String),
    /// There is no file.
    #[error("the folder has no file")]
    Empty,
}

impl ChecksumError {
    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        |error| Self::Read { path, error }
    }
}

/// The SHA-256 of a file, or the checksum of a folder.
///
/// # Errors
/// When a file can't be read or the folder has none, or a name or link that has no place in the list.
pub fn checksum(path: &Path) -> Result<Sha256, ChecksumError> {
    let metadata = fs::metadata(path).map_err(ChecksumError::read(path))?;
    if metadata.is_dir() {
        of_folder(path)
    } else {
        of_file(path).map_err(ChecksumError::read(path))
    }
}

/// The SHA-256 of a file.
///
/// # Errors
/// When it can't be read.
pub fn of_file(path: &Path) -> io::Result<Sha256> {
    // Opening a pipe would wait for a writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    let mut hasher = Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    let digest: [u8; 32] = hasher.finalize().into();
    Ok(Sha256::from(digest))
}

/// The checksum of a folder. Files and folders whose name starts with a dot aren't part of it. Links count as what they
/// lead to.
///
/// # Errors
/// As for [`checksum`].
pub fn of_folder(folder: &Path) -> Result<Sha256, ChecksumError> {
    let root = fs::canonicalize(folder).map_err(ChecksumError::read(folder))?;
    let mut files = BTreeMap::new();
    let mut entries = 0;
    let mut pending = vec![(PathBuf::new(), 0)];
    while let Some((relative, depth)) = pending.pop() {
        if depth > MAX_DEPTH {
            return Err(ChecksumError::TooDeep(relative.display().to_string()));
        }
        let path = root.join(&relative);
        for entry in fs::read_dir(&path).map_err(ChecksumError::read(&path))? {
            let name = entry.map_err(ChecksumError::read(&path))?.file_name();
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(ChecksumError::TooMany);
            }
            let relative = relative.join(name);
            let shown = || relative.display().to_string();
            let target =
                fs::canonicalize(root.join(&relative)).map_err(ChecksumError::read(&relative))?;
            if !target.starts_with(&root) {
                return Err(ChecksumError::Outside(shown()));
            }
            let metadata = fs::metadata(&target).map_err(ChecksumError::read(&relative))?;
            if metadata.is_dir() {
                pending.push((relative, depth + 1));
            } else if metadata.is_file() {
                let bytes = relative.as_os_str().as_bytes();
                if bytes
                    .iter()
                    .any(|byte| matches!(byte, b'\n' | b'\r' | b'\\'))
                {
                    return Err(ChecksumError::Name(shown()));
                }
                files.insert(bytes.to_vec(), target);
            }
        }
    }
    if files.is_empty() {
        return Err(ChecksumError::Empty);
    }
    let mut list = Hasher::new();
    for (relative, target) in files {
        let sha256 = of_file(&target).map_err(ChecksumError::read(&target))?;
        for part in [sha256.as_str().as_bytes(), b"  ", &relative, b"\n"] {
            list.update(part);
        }
    }
    let digest: [u8; 32] = list.finalize().into();
    Ok(Sha256::from(digest))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn hash(bytes: &[u8]) -> Sha256 {
        let digest: [u8; 32] = Hasher::digest(bytes).into();
        Sha256::from(digest)
    }

    /// A folder with `b`, `a/c` and `a.txt`, and a hidden file.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        for name in ["b", "a/c", "a.txt", ".hidden"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_is_the_sorted_list_of_its_files() {
        let folder = folder();
        let lines =
            ["a.txt", "a/c", "b"].map(|name| format!("{}  {name}\n", hash(name.as_bytes())));
        let expected = hash(lines.concat().as_bytes());
        assert_eq!(checksum(folder.path()).unwrap(), expected);
        assert_eq!(checksum(&folder.path().join("b")).unwrap(), hash(b"b"));
    }

    #[test]
    fn a_link_inside_counts_as_its_target_and_others_are_errors() {
        let linked = folder();
        fs::write(linked.path().join(".blob"), "b").unwrap();
        fs::remove_file(linked.path().join("b")).unwrap();
        symlink(".blob", linked.path().join("b")).unwrap();
        assert_eq!(
            checksum(linked.path()).unwrap(),
            checksum(folder().path()).unwrap()
        );
        symlink("/etc/passwd", linked.path().join("a/stolen")).unwrap();
        let error = checksum(linked.path()).unwrap_err();
        assert!(matches!(error, ChecksumError::Outside(ref link) if link == "a/stolen"));
        fs::remove_file(linked.path().join("a/stolen")).unwrap();
        symlink("..", linked.path().join("a/up")).unwrap();
        let error = checksum(linked.path()).unwrap_err();
        assert!(matches!(error, ChecksumError::TooDeep(_)), "{error}");
    }

    #[test]
    fn what_has_no_checksum_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = checksum(&folder.path().join("missing"));
        assert!(matches!(missing, Err(ChecksumError::Read { .. })));
        assert!(matches!(checksum(folder.path()), Err(ChecksumError::Empty)));
        fs::write(folder.path().join("a\nb"), "").unwrap();
        let error = checksum(folder.path()).unwrap_err();
        assert!(matches!(error, ChecksumError::Name(_)), "{error}");
    }
}
