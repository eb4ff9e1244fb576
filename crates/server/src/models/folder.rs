//! The contents of a folder and its subfolders.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::fingerprint::FileStat;

/// Name of the model file in a version's folder.
pub(crate) const MODEL_FILE: &str = "model.onnx";

/// Maximum number of entries. A larger folder isn't one of models.
const MAX_ENTRIES: usize = 10_000;

/// An entry of a folder. A link is the entry that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FolderEntry {
    File(FileStat),
    Folder,
    /// A link that leads nowhere, in circles, or to a place that the server may not read.
    DeadLink,
}

/// The entries of a folder and its subfolders, by relative path.
pub(super) type Contents = BTreeMap<PathBuf, FolderEntry>;

/// Reads a folder and its subfolders down to `depth` levels; 1 is the folder alone. Links to folders inside `root`
/// are followed, and each folder is read once.
///
/// # Errors
/// When the folder can't be read or has too many entries.
pub(super) fn walk(folder: &Path, root: &Path, depth: usize) -> io::Result<Contents> {
    let real = fs::canonicalize(folder)?;
    let mut seen = HashSet::from([identity(&fs::metadata(folder)?)]);
    let mut contents = Contents::new();
    let mut pending = BTreeSet::from([PathBuf::new()]);
    while let Some(relative) = pending.pop_first() {
        let entries = match entries(&folder.join(&relative)) {
            Ok(entries) => entries,
            // The server couldn't read files there either. A mounted disk, for example, has a folder
            // `lost+found` that only root can read.
            Err(error) if relative != Path::new("") && is_out_of_reach(&error) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = relative.join(entry.file_name());
            let found = match metadata(&entry)? {
                None => FolderEntry::DeadLink,
                Some(metadata) if metadata.is_file() => FolderEntry::File(FileStat::of(&metadata)),
                Some(metadata) if metadata.is_dir() => {
                    if path.components().count() < depth
                        && may_be_read(&entry, &real, root)?
                        && seen.insert(identity(&metadata))
                    {
                        pending.insert(path.clone());
                    }
                    FolderEntry::Folder
                }
                Some(_device) => continue,
            };
            contents.insert(path, found);
            if contents.len() > MAX_ENTRIES {
                return Err(too_many());
            }
        }
    }
    Ok(contents)
}

/// Whether a folder in `real` may be read: it is no link, or one inside `root` that leads to no parent folder, which
/// has other versions.
fn may_be_read(entry: &DirEntry, real: &Path, root: &Path) -> io::Result<bool> {
    if !entry.file_type()?.is_symlink() {
        return Ok(true);
    }
    let target = match fs::canonicalize(entry.path()) {
        Ok(target) => target,
        Err(error) if is_out_of_reach(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let is_inside = target.starts_with(root) || target.starts_with(real);
    Ok(is_inside && !real.starts_with(&target))
}

/// The entries of one folder.
///
/// # Errors
/// When it can't be read, or has too many.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let entries: Vec<DirEntry> = fs::read_dir(folder)?
        .take(MAX_ENTRIES + 1)
        .collect::<io::Result<_>>()?;
    if entries.len() > MAX_ENTRIES {
        return Err(too_many());
    }
    Ok(entries)
}

fn too_many() -> io::Error {
    io::Error::other(format!("it has more than {MAX_ENTRIES} entries"))
}

/// None where the file has just been removed, or a link can't be followed. A model that needs it fails when it is
/// loaded; others are served without it.
fn metadata(entry: &DirEntry) -> io::Result<Option<Metadata>> {
    let path = entry.path();
    // Follows links: Kubernetes mounts ConfigMaps as links into a folder that is swapped.
    match fs::metadata(&path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if is_of_the_link(&error) && entry.file_type()?.is_symlink() => {
            tracing::debug!(path = %path.display(), %error, "a link can't be followed");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether the link itself is the cause, and not a file system that is unavailable.
fn is_of_the_link(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::LOOP | Errno::ACCESS | Errno::PERM | Errno::NOTDIR | Errno::NAMETOOLONG)
    )
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Whether the folder doesn't exist, or no longer.
pub(super) fn is_no_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotADirectory | io::ErrorKind::NotFound
    )
}

fn is_out_of_reach(error: &io::Error) -> bool {
    is_no_folder(error) || error.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(root: &Path, path: &str, content: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The paths in `m/1`, with a stroke after those of folders.
    fn paths(root: &tempfile::TempDir, depth: usize) -> Vec<String> {
        let real = fs::canonicalize(root.path()).unwrap();
        let contents = walk(&root.path().join("m/1"), &real, depth).unwrap();
        let path = |(path, entry): (&PathBuf, &FolderEntry)| match entry {
            FolderEntry::File(_) => path.display().to_string(),
            FolderEntry::Folder => format!("{}/", path.display()),
            FolderEntry::DeadLink => format!("{}!", path.display()),
        };
        contents.iter().map(path).collect()
    }

    #[test]
    fn folders_are_read_as_deep_as_asked_for() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "m/1/model.onnx", "graph");
        write(root.path(), "m/1/a/b/c", "");
        assert_eq!(paths(&root, 1), ["a/", "model.onnx"]);
        assert_eq!(paths(&root, 2), ["a/", "a/b/", "model.onnx"]);
        assert_eq!(paths(&root, 9), ["a/", "a/b/", "a/b/c", "model.onnx"]);
    }

    #[test]
    fn links_to_folders_inside_the_root_are_followed_once_and_no_others() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        write(outside.path(), "secret", "");
        write(root.path(), ".store/x", "weights");
        write(root.path(), "m/1/own/y", "weights");
        write(root.path(), "m/1/model.onnx", "graph");
        for (target, name) in [
            (Path::new("../../.store"), "weights"),
            (Path::new("weights"), "weights again"),
            (Path::new("."), "around"),
            (Path::new("../.."), "up"),
            (outside.path(), "outside"),
            (Path::new("nowhere"), "dead"),
            (Path::new("circle"), "circle"),
            (Path::new("model.onnx/x"), "below a file"),
        ] {
            symlink(target, root.path().join("m/1").join(name)).unwrap();
        }
        let expected = [
            "around/",
            "below a file!",
            "circle!",
            "dead!",
            "model.onnx",
            "outside/",
            "own/",
            "own/y",
            "up/",
            "weights/",
            "weights/x",
            "weights again/",
        ];
        assert_eq!(paths(&root, 9), expected);
    }

    #[test]
    fn too_many_entries_are_refused() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["a", "b"] {
            for file in 0..MAX_ENTRIES / 2 {
                write(root.path(), &format!("{folder}/{file}"), "");
            }
        }
        let refused = walk(root.path(), root.path(), 9).unwrap_err();
        assert!(refused.to_string().contains("more than 10000"), "{refused}");
    }
}
