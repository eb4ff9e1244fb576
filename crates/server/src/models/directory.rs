//! Scans a model directory: `<name>/<version>/model.onnx`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::fingerprint::Fingerprint;
use super::folder::{Contents, FolderEntry, MODEL_FILE, entries, is_no_folder, walk};
use super::layout_problem::{self, Kind, LayoutProblem, Names};
use super::name::{ModelName, Version};

/// Maximum number of models in a directory. Memory limits them long before.
const MAX_MODELS: usize = 1_000;

/// Maximum depth of the scan below a version's folder.
const MAX_DEPTH: usize = 16;

/// Maximum depth below other folders, in which misplaced models are searched.
const PROBLEM_SEARCH_DEPTH: usize = 3;

/// Maximum number of reported problems of a directory.
const MAX_PROBLEMS: usize = 100;

/// Versions with the fingerprint of their content. None where the version's folder exists and can't be read.
type Versions = BTreeMap<Version, Option<Fingerprint>>;

/// A model's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelFolder {
    /// The versions that have a model file.
    Versions(Versions),
    /// It exists and can't be read: its versions are unknown.
    Unreadable,
}

/// The models of a directory.
pub type Listing = BTreeMap<ModelName, ModelFolder>;

/// Result of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectoryScan {
    /// Models and versions.
    pub models: Listing,
    /// Files and folders that are ignored but look like models.
    pub problems: Vec<LayoutProblem>,
}

impl DirectoryScan {
    /// The fingerprint of a version. None where it doesn't exist or can't be read.
    #[must_use]
    pub fn fingerprint(&self, name: &ModelName, version: Version) -> Option<Fingerprint> {
        match self.models.get(name)? {
            ModelFolder::Versions(versions) => *versions.get(&version)?,
            ModelFolder::Unreadable => None,
        }
    }
}

/// A directory that can't be scanned.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The operating system reports an error.
    #[error("the model directory {path} can't be read: {error}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// It has too many models.
    #[error("the model directory {path} has more than {MAX_MODELS} models")]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
    /// The scanning thread panicked.
    #[error("the scan of the model directory panicked")]
    Panicked,
}

/// Path of the model file of a version.
#[must_use]
pub fn model_file(directory: &Path, name: &ModelName, version: Version) -> PathBuf {
    directory
        .join(name.as_str())
        .join(version.to_string())
        .join(MODEL_FILE)
}

/// Scans the models of a directory. Names that are no model's or version's are ignored, and so is a version without
/// a model file. Where they look like models, they are reported as problems.
///
/// # Errors
/// When the directory itself can't be read or has too many models.
pub fn scan(directory: &Path) -> Result<DirectoryScan, ScanError> {
    let failed = |error| ScanError::Io {
        path: directory.to_owned(),
        error,
    };
    let root = fs::canonicalize(directory).map_err(failed)?;
    let mut entries = entries(directory).map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut scan = DirectoryScan::default();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let folder = match read_model(&entry.path(), &root) {
            Ok((versions, names)) => {
                scan.problems
                    .extend(layout_problem::of_model(&name, &names));
                ModelFolder::Versions(versions)
            }
            // A file, or a folder that has just been removed.
            Err(error) if is_no_folder(&error) => {
                scan.problems.extend(layout_problem::of_file(&name));
                continue;
            }
            Err(error) => {
                if name.parse::<ModelName>().is_ok() {
                    tracing::warn!(model = %name, %error, "the model's folder can't be read");
                }
                ModelFolder::Unreadable
            }
        };
        if let Ok(name) = name.parse() {
            scan.models.insert(name, folder);
        }
        if scan.models.len() > MAX_MODELS {
            let path = directory.to_owned();
            return Err(ScanError::TooMany { path });
        }
    }
    scan.problems.truncate(MAX_PROBLEMS);
    Ok(scan)
}

/// The versions in a model's folder, and the names of everything in it.
fn read_model(folder: &Path, root: &Path) -> io::Result<(Versions, Names)> {
    let mut versions = Versions::new();
    let mut names = Names::new();
    for entry in entries(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let version: Option<Version> = name.parse().ok();
        if version.is_none() && leads_to_version(&entry.path(), folder) {
            continue;
        }
        let depth = version.map_or(PROBLEM_SEARCH_DEPTH, |_| MAX_DEPTH);
        let kind = match read_version(&entry.path(), root, depth) {
            Ok(Some(contents)) => {
                if let Some((version, fingerprint)) = version.zip(fingerprint(&contents)) {
                    versions.insert(version, Some(fingerprint));
                }
                names.extend(names_of(&name, &contents));
                Kind::Folder
            }
            Ok(None) => Kind::DeadLink,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Kind::File,
            Err(error) => {
                if let Some(version) = version {
                    tracing::warn!(path = %entry.path().display(), %error, "the version's folder can't be read");
                    versions.insert(version, None);
                }
                Kind::Unreadable
            }
        };
        names.insert(name, kind);
    }
    Ok((versions, names))
}

/// Whether this is a link to a version of the same model: `latest -> 3`.
fn leads_to_version(entry: &Path, folder: &Path) -> bool {
    let real = |path| fs::canonicalize(path).ok();
    real(entry).is_some_and(|target| {
        let name = target.file_name().and_then(|name| name.to_str());
        let is_version = name.is_some_and(|name| name.parse::<Version>().is_ok());
        is_version && target.parent() == real(folder).as_deref()
    })
}

/// None where there is no folder.
fn read_version(folder: &Path, root: &Path, depth: usize) -> io::Result<Option<Contents>> {
    match walk(folder, root, depth) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// None where there is no model file.
fn fingerprint(contents: &Contents) -> Option<Fingerprint> {
    let is_file = |entry: &FolderEntry| matches!(entry, FolderEntry::File(_));
    contents
        .get(Path::new(MODEL_FILE))
        .filter(|entry| is_file(entry))?;
    let files = contents.iter().filter_map(|(path, entry)| match entry {
        FolderEntry::File(stat) => Some((&**path, stat)),
        FolderEntry::Folder | FolderEntry::DeadLink => None,
    });
    Some(Fingerprint::of(files))
}

/// The contents of a folder, by paths relative to its parent.
fn names_of(folder: &str, contents: &Contents) -> Names {
    let named = |(path, entry): (&PathBuf, &FolderEntry)| {
        let kind = match entry {
            FolderEntry::File(_) => Kind::File,
            FolderEntry::Folder => Kind::Folder,
            FolderEntry::DeadLink => Kind::DeadLink,
        };
        (format!("{folder}/{}", path.display()), kind)
    };
    contents.iter().map(named).collect()
}

#[cfg(test)]
mod tests;
