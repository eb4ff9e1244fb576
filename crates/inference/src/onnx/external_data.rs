//! External data: weights in other files, which a model names.
//!
//! ONNX Runtime would read any file that a model names, so untrusted models must be restricted. A name must be a
//! relative path below the model's folder, without `..`. The folder may contain links. The file must be a regular
//! one, and its real path, with all links resolved, must be
//!
//! - inside the real path of the model's folder, the one from which the model is loaded. A projected volume of
//!   Kubernetes (`model.onnx -> ..data/model.onnx`, `..data -> ..2026_01_01/`) is such a folder;
//! - or where [`LinkPolicy`] allows. A folder that was unpacked from an untrusted archive must not expose the
//!   server's own files as weights.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// Targets that links in a model's folder may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPolicy {
    /// Files inside this folder: the model directory.
    Inside(PathBuf),
    /// Files in the folder of the real model file, where that is a link too, as in a cache of blobs.
    BesideTheModel,
}

/// External data that a model may not use.
#[derive(Debug, thiserror::Error)]
pub enum ExternalDataError {
    /// It is outside the allowed folders.
    #[error(
        "the model's external data {location:?} is not inside the model's own folder, nor is it a \
         link that stays inside the model directory: put the file itself there"
    )]
    Outside {
        /// The file, as the model names it.
        location: String,
    },
    /// It doesn't exist or can't be read.
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

/// Real paths of a model's external data, by the names in the model.
pub(super) type Located = BTreeMap<String, PathBuf>;

/// Resolves the files that a model names, and checks that they are allowed.
///
/// # Errors
/// The first file that isn't allowed.
pub(super) fn locate(
    model: &Path,
    links: &LinkPolicy,
    locations: &BTreeSet<String>,
) -> Result<Located, ExternalDataError> {
    let locate = |location: &String| Ok((location.clone(), locate_one(model, links, location)?));
    locations.iter().map(locate).collect()
}

/// Whether ONNX Runtime finds these files itself. Since 1.24 it rejects files that are neither inside the model's
/// folder nor inside the folder of the real model file
/// ([microsoft/onnxruntime#27374](https://github.com/microsoft/onnxruntime/pull/27374)).
pub(super) fn are_read(model: &Path, located: &Located) -> bool {
    let real = fs::canonicalize(model).ok();
    let folders = [
        fs::canonicalize(folder_of(model)).ok(),
        real.as_deref().and_then(Path::parent).map(Path::to_owned),
    ];
    located.values().all(|file| {
        let mut folders = folders.iter().flatten();
        folders.any(|folder| file.starts_with(folder))
    })
}

fn folder_of(model: &Path) -> &Path {
    match model.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn locate_one(
    model: &Path,
    links: &LinkPolicy,
    location: &str,
) -> Result<PathBuf, ExternalDataError> {
    let outside = || ExternalDataError::Outside {
        location: location.to_owned(),
    };
    let unreadable = |error| ExternalDataError::Unreadable {
        location: location.to_owned(),
        error,
    };
    // `*/` is the prefix by which ONNX Runtime marks addresses in its own memory.
    let plain = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    if location.is_empty()
        || location.starts_with("*/")
        || !Path::new(location).components().all(plain)
    {
        return Err(outside());
    }
    let folder = folder_of(model);
    let inside = fs::canonicalize(folder).map_err(unreadable)?;
    let file = fs::canonicalize(folder.join(location)).map_err(unreadable)?;
    let allowed = file.starts_with(&inside)
        || match links {
            LinkPolicy::Inside(root) => {
                file.starts_with(fs::canonicalize(root).map_err(unreadable)?)
            }
            LinkPolicy::BesideTheModel => {
                file.parent() == fs::canonicalize(model).map_err(unreadable)?.parent()
            }
        };
    if !allowed {
        return Err(outside());
    }
    if !fs::metadata(&file).map_err(unreadable)?.is_file() {
        return Err(ExternalDataError::NotAFile {
            location: location.to_owned(),
        });
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

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

    /// Where a file is that the folder's `model.onnx` names.
    fn find(
        folder: &Path,
        links: &LinkPolicy,
        location: &str,
    ) -> Result<PathBuf, ExternalDataError> {
        let locations = BTreeSet::from([location.to_owned()]);
        let mut located = locate(&folder.join("model.onnx"), links, &locations)?;
        Ok(located.remove(location).unwrap())
    }

    /// What holds wherever links may lead.
    fn check(folder: &Path, location: &str) -> Result<(), ExternalDataError> {
        fs::write(folder.join("model.onnx"), "model").unwrap();
        let itself = LinkPolicy::Inside(folder.to_owned());
        find(folder, &itself, location)?;
        find(folder, &LinkPolicy::BesideTheModel, location)?;
        Ok(())
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

    /// A directory of models with a store of blobs, and a version whose files are links into it.
    fn cache() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (version, blobs) = (root.path().join("m/1"), root.path().join(".blobs"));
        fs::create_dir_all(&version).unwrap();
        fs::create_dir(&blobs).unwrap();
        for (name, blob) in [("model.onnx", "a"), ("weights.bin", "b")] {
            fs::write(blobs.join(blob), name).unwrap();
            symlink(format!("../../.blobs/{blob}"), version.join(name)).unwrap();
        }
        (root, version)
    }

    #[test]
    fn links_inside_the_model_directory_may_be_followed_and_no_others() {
        let (root, version) = cache();
        let links = LinkPolicy::Inside(root.path().to_owned());
        let blob = fs::canonicalize(root.path().join(".blobs/b")).unwrap();
        assert_eq!(find(&version, &links, "weights.bin").unwrap(), blob);
        // The same directory by another name.
        let other = tempfile::tempdir().unwrap();
        symlink(root.path(), other.path().join("models")).unwrap();
        let linked = LinkPolicy::Inside(other.path().join("models"));
        assert_eq!(find(&version, &linked, "weights.bin").unwrap(), blob);
        let narrower = LinkPolicy::Inside(root.path().join("m"));
        let refused = find(&version, &narrower, "weights.bin");
        assert!(matches!(refused, Err(ExternalDataError::Outside { .. })));
        symlink("/etc/passwd", version.join("stolen")).unwrap();
        for links in [links, narrower, LinkPolicy::BesideTheModel] {
            let refused = find(&version, &links, "stolen");
            assert!(matches!(refused, Err(ExternalDataError::Outside { .. })));
        }
        let gone = LinkPolicy::Inside(root.path().join("gone"));
        let refused = find(&version, &gone, "weights.bin");
        assert!(matches!(refused, Err(ExternalDataError::Unreadable { .. })));
    }

    #[test]
    fn of_a_single_model_links_may_lead_to_where_it_really_is_and_not_below() {
        let (root, version) = cache();
        assert!(find(&version, &LinkPolicy::BesideTheModel, "weights.bin").is_ok());
        fs::create_dir(root.path().join(".blobs/deeper")).unwrap();
        fs::write(root.path().join(".blobs/deeper/c"), "").unwrap();
        for target in ["../../.blobs/deeper/c", "../../secret"] {
            fs::write(root.path().join("secret"), "").unwrap();
            let link = version.join("other.bin");
            symlink(target, &link).unwrap();
            let refused = find(&version, &LinkPolicy::BesideTheModel, "other.bin");
            assert!(
                matches!(refused, Err(ExternalDataError::Outside { .. })),
                "{target}"
            );
            fs::remove_file(link).unwrap();
        }
    }

    #[test]
    fn what_onnx_runtime_reads_by_itself_is_near_the_model_or_its_link() {
        let (root, version) = cache();
        let model = version.join("model.onnx");
        let at = |path: &str| {
            let file = fs::canonicalize(root.path()).unwrap().join(path);
            Located::from([("w".to_owned(), file)])
        };
        assert!(are_read(&model, &Located::new()));
        assert!(are_read(&model, &at(".blobs/b")));
        assert!(are_read(&model, &at("m/1/w")));
        assert!(!are_read(&model, &at("m/2/w")));
    }
}
