//! What a model directory holds: `<name>/<version>/model.onnx`.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::name::{ModelName, Version};

/// Name of the model file in the folder of its version.
pub const MODEL_FILE: &str = "model.onnx";

/// Most models of a directory: the sum of what they need is bounded by memory long before.
const MAX_MODELS: usize = 1_000;

/// Most entries that a folder is read for. A directory with more isn't a directory of models.
const MAX_ENTRIES: usize = 10_000;

/// Tells one content of a version's folder from another. All files count, since a model may keep its
/// weights in files beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Files in the folder.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// When the latest of them was changed.
    pub modified: SystemTime,
}

/// What is known of a model's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// The versions that have a model file, with its content. None where a version's own folder is
    /// there and could not be read.
    Versions(BTreeMap<Version, Option<Stamp>>),
    /// It is there and could not be read: that says nothing about its versions.
    Unreadable,
}

/// What a directory holds at some instant.
pub type Listing = BTreeMap<ModelName, Folder>;

/// A directory could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The operating system refused.
    #[error("the model directory {path} can't be read: {error}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It has more models than are served.
    #[error("the model directory {path} has more than {MAX_MODELS} models")]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
    /// The thread that lists it panicked.
    #[error("listing the model directory panicked")]
    Panicked,
}

/// Where the model file of a version is.
#[must_use]
pub fn model_file(directory: &Path, name: &ModelName, version: Version) -> PathBuf {
    directory
        .join(name.as_str())
        .join(version.to_string())
        .join(MODEL_FILE)
}

/// Lists the models of a directory. What isn't named like a model or a version is passed over, and
/// so is a version that has no model file yet.
///
/// # Errors
/// When the directory itself can't be read or has too many models.
pub fn list(directory: &Path) -> Result<Listing, ListError> {
    let path = || directory.to_owned();
    let mut listing = Listing::new();
    let entries = entries(directory).map_err(|error| ListError::Io {
        path: path(),
        error,
    })?;
    for entry in entries {
        let Some(name) = parsed::<ModelName>(&entry) else {
            continue;
        };
        let folder = match versions(&entry.path()) {
            Ok(versions) => Folder::Versions(versions),
            // A file, or a folder that has just been removed.
            Err(error) if is_no_folder(&error) => continue,
            Err(error) => {
                tracing::warn!(model = %name, %error, "the model's folder can't be read");
                Folder::Unreadable
            }
        };
        listing.insert(name, folder);
        if listing.len() > MAX_MODELS {
            return Err(ListError::TooMany { path: path() });
        }
    }
    Ok(listing)
}

fn versions(folder: &Path) -> io::Result<BTreeMap<Version, Option<Stamp>>> {
    let mut versions = BTreeMap::new();
    for entry in entries(folder)? {
        let Some(version) = parsed::<Version>(&entry) else {
            continue;
        };
        match stamp(&entry.path()) {
            Ok(Some(stamp)) => {
                versions.insert(version, Some(stamp));
            }
            Ok(None) => {}
            Err(error) if is_no_folder(&error) => {}
            Err(error) => {
                tracing::warn!(path = %entry.path().display(), %error, "the version's folder can't be read");
                versions.insert(version, None);
            }
        }
    }
    Ok(versions)
}

/// The stamp of a model that is one file, which may be missing.
pub(super) fn stamp_of_file(file: &Path) -> Stamp {
    let metadata = fs::metadata(file).ok();
    let modified = metadata
        .as_ref()
        .and_then(|metadata| metadata.modified().ok());
    Stamp {
        files: 1,
        bytes: metadata.map_or(0, |metadata| metadata.len()),
        modified: modified.unwrap_or(SystemTime::UNIX_EPOCH),
    }
}

/// None where there is no model file.
fn stamp(folder: &Path) -> io::Result<Option<Stamp>> {
    let mut stamp = Stamp {
        files: 0,
        bytes: 0,
        modified: SystemTime::UNIX_EPOCH,
    };
    let mut has_model = false;
    for entry in entries(folder)? {
        // Follows links: Kubernetes mounts ConfigMaps as links into a folder that is swapped.
        let Some(metadata) = metadata(&entry.path())? else {
            continue;
        };
        if metadata.is_file() {
            has_model |= entry.file_name() == MODEL_FILE;
            stamp.files += 1;
            stamp.bytes = stamp.bytes.saturating_add(metadata.len());
            stamp.modified = stamp.modified.max(metadata.modified()?);
        }
    }
    Ok(has_model.then_some(stamp))
}

/// None where the file has just been removed, or a link leads nowhere.
fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let entries: Vec<DirEntry> = fs::read_dir(folder)?
        .take(MAX_ENTRIES + 1)
        .collect::<io::Result<_>>()?;
    if entries.len() > MAX_ENTRIES {
        let message = format!("it has more than {MAX_ENTRIES} entries");
        return Err(io::Error::other(message));
    }
    Ok(entries)
}

fn parsed<T: std::str::FromStr>(entry: &DirEntry) -> Option<T> {
    entry.file_name().to_str()?.parse().ok()
}

fn is_no_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotADirectory | io::ErrorKind::NotFound
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, content: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn versions_of(root: &Path, name: &str) -> Vec<String> {
        match &list(root).unwrap()[name] {
            Folder::Versions(versions) => versions.keys().map(ToString::to_string).collect(),
            Folder::Unreadable => panic!("unreadable"),
        }
    }

    fn stamp_of(root: &Path, folder: &str) -> Stamp {
        stamp(&root.join(folder)).unwrap().unwrap()
    }

    #[test]
    fn only_what_is_named_like_a_model_and_has_a_file_counts() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "iris/1/model.onnx",
            "iris/10/model.onnx",
            "iris/2/model.onnx",
            "iris/02/model.onnx",
            "iris/latest/model.onnx",
            "iris/3/model.onnx.part",
            "iris/4",
            "lost+found/1/model.onnx",
            ".data/1/model.onnx",
            "README.md",
        ] {
            write(root.path(), path, "x");
        }
        fs::create_dir(root.path().join("empty")).unwrap();
        assert_eq!(versions_of(root.path(), "iris"), ["1", "2", "10"]);
        assert!(versions_of(root.path(), "empty").is_empty());
        assert_eq!(list(root.path()).unwrap().len(), 2);
    }

    #[test]
    fn every_file_of_a_version_is_in_its_stamp() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "iris/1/model.onnx", "graph");
        let alone = stamp_of(root.path(), "iris/1");
        assert_eq!((alone.files, alone.bytes), (1, 5));
        write(root.path(), "iris/1/weights.bin", "1234");
        let both = stamp_of(root.path(), "iris/1");
        assert_eq!((both.files, both.bytes), (2, 9));
        let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
        let file = fs::File::options()
            .write(true)
            .open(root.path().join("iris/1/weights.bin"))
            .unwrap();
        file.set_modified(later).unwrap();
        assert_eq!(stamp_of(root.path(), "iris/1").modified, later);
    }

    #[test]
    fn links_are_followed_and_dangling_ones_passed_over() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "..2026/model.onnx", "graph");
        fs::create_dir_all(root.path().join("iris/1")).unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(root.path().join(target), root.path().join(name)).unwrap();
        };
        link("nowhere", "iris/1/model.onnx");
        assert!(versions_of(root.path(), "iris").is_empty());
        link("..2026", "iris/2");
        assert_eq!(versions_of(root.path(), "iris"), ["2"]);
        assert_eq!(stamp_of(root.path(), "iris/2").bytes, 5);
    }

    #[test]
    fn a_version_that_can_not_be_read_is_there_and_hides_no_other() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "iris/1/model.onnx", "graph");
        let looped = root.path().join("iris/2");
        std::os::unix::fs::symlink(&looped, &looped).unwrap();
        let listing = list(root.path()).unwrap();
        let Folder::Versions(versions) = &listing["iris"] else {
            panic!("unreadable")
        };
        let readable: Vec<bool> = versions.values().map(Option::is_some).collect();
        assert_eq!(readable, [true, false]);
    }

    #[test]
    fn a_missing_directory_is_an_error_and_not_empty() {
        let root = tempfile::tempdir().unwrap();
        let missing = list(&root.path().join("models")).unwrap_err();
        assert!(matches!(missing, ListError::Io { .. }), "{missing}");
    }

    #[test]
    fn too_many_models_are_refused() {
        let root = tempfile::tempdir().unwrap();
        for index in 0..=MAX_MODELS {
            fs::create_dir(root.path().join(format!("m{index}"))).unwrap();
        }
        let refused = list(root.path()).unwrap_err();
        assert!(matches!(refused, ListError::TooMany { .. }), "{refused}");
    }
}
