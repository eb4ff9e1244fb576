//! Files beside a model that it wants read.
//!
//! A model may be anybody's, and ONNX Runtime would read any file that it names. Allowed are regular
//! files whose real place, all links followed, is inside the real place of the model's folder. The
//! folder is the one of the path by which the model is loaded, so a volume that Kubernetes projects
//! (`model.onnx -> ..data/model.onnx`, `..data -> ..2026_01_01/`) is fine: its links stay inside.
//! A cache of links to blobs in another folder isn't: copy it with its links followed.

use std::collections::BTreeSet;
use std::path::{Component, Path};
use std::{fs, io};

/// A file that a model may not have read.
#[derive(Debug, thiserror::Error)]
pub enum ExternalDataError {
    /// It is, or leads, elsewhere.
    #[error("the model's external data {location:?} is not inside the model's own folder")]
    Outside {
        /// The file, as the model names it.
        location: String,
    },
    /// It isn't there or can't be read.
    #[error("the model's external data {location:?} can't be read: {error}")]
    Unreadable {
        /// The file, as the model names it.
        location: String,
        /// Why.
        error: io::Error,
    },
    /// It is a folder or a device.
    #[error("the model's external data {location:?} is not a file")]
    NotAFile {
        /// The file, as the model names it.
        location: String,
    },
}

/// Whether a model may have these files read.
///
/// # Errors
/// The first file that it may not.
pub(super) fn check(model: &Path, locations: &BTreeSet<String>) -> Result<(), ExternalDataError> {
    let folder = match model.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    locations
        .iter()
        .try_for_each(|location| check_one(folder, location))
}

fn check_one(folder: &Path, location: &str) -> Result<(), ExternalDataError> {
    let outside = || ExternalDataError::Outside {
        location: location.to_owned(),
    };
    let unreadable = |error| ExternalDataError::Unreadable {
        location: location.to_owned(),
        error,
    };
    // `*/` begins the tags by which ONNX Runtime marks an address in its own memory.
    let plain = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    if location.is_empty()
        || location.starts_with("*/")
        || !Path::new(location).components().all(plain)
    {
        return Err(outside());
    }
    let inside = fs::canonicalize(folder).map_err(unreadable)?;
    let file = fs::canonicalize(folder.join(location)).map_err(unreadable)?;
    if !file.starts_with(&inside) {
        return Err(outside());
    }
    if !fs::metadata(&file).map_err(unreadable)?.is_file() {
        return Err(ExternalDataError::NotAFile {
            location: location.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    /// A model's folder with `weights.bin`, beside a `secret`.
    fn volume() -> (tempfile::TempDir, PathBuf) {
        let volume = tempfile::tempdir().unwrap();
        let folder = volume.path().join("model");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("weights.bin"), "weights").unwrap();
        fs::write(volume.path().join("secret"), "secret").unwrap();
        (volume, folder)
    }

    fn check(folder: &Path, location: &str) -> Result<(), ExternalDataError> {
        let locations = BTreeSet::from([location.to_owned()]);
        super::check(&folder.join("model.onnx"), &locations)
    }

    #[test]
    fn files_of_the_folder_may_be_read() {
        let (_volume, folder) = volume();
        fs::create_dir(folder.join("deeper")).unwrap();
        fs::write(folder.join("deeper/weights.bin"), "weights").unwrap();
        symlink("deeper/weights.bin", folder.join("link")).unwrap();
        for location in ["weights.bin", "./weights.bin", "deeper/weights.bin", "link"] {
            assert!(check(&folder, location).is_ok(), "{location}");
        }
    }

    #[test]
    fn what_leads_out_of_the_folder_may_not() {
        let (volume, folder) = volume();
        let secret = volume.path().join("secret");
        symlink("../secret", folder.join("link")).unwrap();
        symlink(&secret, folder.join("absolute_link")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        for location in [
            "../secret",
            "deeper/../../secret",
            "weights.bin/../../secret",
            "link",
            "absolute_link",
            "up/secret",
            "/etc/passwd",
            secret.to_str().unwrap(),
            "",
            "*/_ORT_MEM_ADDR_/*",
        ] {
            let refused = check(&folder, location);
            assert!(
                matches!(refused, Err(ExternalDataError::Outside { .. })),
                "{location}: {refused:?}"
            );
        }
        // Its name begins like the folder's.
        fs::write(volume.path().join("model_secret"), "").unwrap();
        symlink("../model_secret", folder.join("sibling")).unwrap();
        assert!(check(&folder, "sibling").is_err());
    }

    #[test]
    fn volumes_of_kubernetes_may_be_read() {
        let (volume, folder) = volume();
        fs::create_dir(folder.join("..2026_01_01")).unwrap();
        fs::rename(
            folder.join("weights.bin"),
            folder.join("..2026_01_01/weights.bin"),
        )
        .unwrap();
        symlink("..2026_01_01", folder.join("..data")).unwrap();
        symlink("..data/weights.bin", folder.join("weights.bin")).unwrap();
        assert!(check(&folder, "weights.bin").is_ok());
        symlink("model", volume.path().join("current")).unwrap();
        let current = volume.path().join("current");
        assert!(check(&current, "weights.bin").is_ok(), "a linked folder");
    }

    #[test]
    fn what_is_no_file_is_said() {
        let (_volume, folder) = volume();
        fs::create_dir(folder.join("deeper")).unwrap();
        let missing = check(&folder, "missing");
        assert!(matches!(missing, Err(ExternalDataError::Unreadable { .. })));
        let directory = check(&folder, "deeper");
        assert!(matches!(directory, Err(ExternalDataError::NotAFile { .. })));
    }
}
