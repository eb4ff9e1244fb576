//! Copies a model from a mounted volume.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::destination::{Destination, TransferError};
use super::fault::{Fault, SourceContent};
use super::retry::Progress;

/// Maximum names in a message.
const MAX_NAMES: usize = 10;

/// Copies a file of the volume that is mounted at `source_dir`. The path may have symbolic links, as in every mounted
/// ConfigMap, but must not lead out of the volume.
pub(super) fn copy(
    path: &Path,
    source_dir: &Path,
    destination: &Destination,
    progress: &mut Progress,
) -> Result<(), Fault> {
    let shown = path
        .strip_prefix(source_dir)
        .unwrap_or(path)
        .display()
        .to_string();
    let unreadable = |error: &io::Error| Fault::Unreadable {
        path: shown.clone(),
        kind: error.kind(),
    };
    let real = resolve(path, source_dir, &shown)?;
    let file = File::open(real).map_err(|error| unreadable(&error))?;
    let total = file.metadata().ok().map(|metadata| metadata.len());
    let received = |length| progress.receive(length, total, Instant::now());
    let written = destination.write_all(file, received);
    written.map_err(|error| match error {
        TransferError::Source(error) => unreadable(&error),
        TransferError::Fault(fault) => fault,
    })
}

/// Resolves symbolic links to a regular file of the volume.
fn resolve(path: &Path, source_dir: &Path, shown: &str) -> Result<PathBuf, Fault> {
    let refused = |problem| Fault::NotAModelFile {
        path: shown.to_owned(),
        problem,
    };
    let missing = || Fault::NoFile {
        path: shown.to_owned(),
        content: content(source_dir),
    };
    let not_readable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => missing(),
        kind => Fault::Unreadable {
            path: shown.to_owned(),
            kind,
        },
    };
    let root = source_dir.canonicalize().map_err(not_readable)?;
    let real = path.canonicalize().map_err(not_readable)?;
    if !real.starts_with(&root) {
        return Err(refused("leads out of it"));
    }
    let metadata = fs::metadata(&real).map_err(not_readable)?;
    // Reading a pipe or a device may never end.
    if metadata.is_file() {
        Ok(real)
    } else {
        Err(refused("is not a file"))
    }
}

/// The content of the volume, sorted so that the message is stable. Names that begin with two dots belong to
/// Kubernetes.
fn content(source_dir: &Path) -> SourceContent {
    let mut names: Vec<String> = fs::read_dir(source_dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with(".."))
        .collect();
    if names.is_empty() {
        return SourceContent::Nothing;
    }
    names.sort_unstable();
    names.truncate(MAX_NAMES);
    SourceContent::Names(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use springtide_contract::termination::ModelFailure;
    use tempfile::TempDir;

    use super::*;

    fn progress() -> Progress {
        Progress::new(Instant::now())
    }

    /// A volume at `source` with the layout of kubelet's ConfigMaps, and a destination.
    struct Fixture {
        folder: TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let source = folder.path().join("source");
            fs::create_dir_all(source.join("..2026_01_01")).unwrap();
            fs::write(source.join("..2026_01_01/model.onnx"), "a model").unwrap();
            symlink("..2026_01_01", source.join("..data")).unwrap();
            symlink("..data/model.onnx", source.join("model.onnx")).unwrap();
            Self { folder }
        }

        fn source(&self) -> PathBuf {
            self.folder.path().join("source")
        }

        fn copy(&self, key: &str) -> Result<String, Fault> {
            let path = self.folder.path().join("copied.onnx");
            let source = self.source();
            let destination = Destination::new(&path, None, 100);
            copy(&source.join(key), &source, &destination, &mut progress())?;
            Ok(fs::read_to_string(path).unwrap())
        }
    }

    #[test]
    fn a_config_maps_key_is_copied_through_its_links() {
        assert_eq!(Fixture::new().copy("model.onnx").unwrap(), "a model");
    }

    #[test]
    fn a_missing_key_is_not_found_and_the_message_lists_the_others() {
        let fault = Fixture::new().copy("other.onnx").unwrap_err();
        assert_eq!(fault.reason(), ModelFailure::ModelNotFound);
        assert!(
            fault
                .to_string()
                .contains("other.onnx in the model's source, which has model.onnx")
        );
    }

    #[test]
    fn a_missing_config_map_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::new(&folder.path().join("copied.onnx"), None, 100);
        for source in [folder.path().to_owned(), folder.path().join("missing")] {
            let fault = copy(
                &source.join("model.onnx"),
                &source,
                &destination,
                &mut progress(),
            )
            .unwrap_err();
            assert_eq!(fault.reason(), ModelFailure::ModelNotFound);
            assert!(fault.to_string().contains("is empty or missing"), "{fault}");
        }
    }

    #[test]
    fn paths_and_links_must_not_lead_out_of_the_volume() {
        let fixture = Fixture::new();
        let outside = fixture.folder.path().join("secret");
        fs::write(&outside, "secret").unwrap();
        symlink("../secret", fixture.source().join("relative")).unwrap();
        symlink(&outside, fixture.source().join("absolute")).unwrap();
        symlink("..", fixture.source().join("parent")).unwrap();
        let sibling = fixture.folder.path().join("source-2");
        fs::create_dir(&sibling).unwrap();
        fs::write(sibling.join("model.onnx"), "another volume's").unwrap();
        for path in [
            "../secret",
            "relative",
            "absolute",
            "parent/secret",
            "../source-2/model.onnx",
            "/etc/hosts",
        ] {
            let fault = fixture.copy(path).unwrap_err();
            assert_eq!(
                fault.reason(),
                ModelFailure::ModelRefused,
                "{path}: {fault}"
            );
        }
    }

    #[test]
    fn a_folder_is_not_a_model() {
        let fixture = Fixture::new();
        fs::create_dir(fixture.source().join("folder")).unwrap();
        assert_eq!(
            fixture.copy("folder").unwrap_err().reason(),
            ModelFailure::ModelRefused
        );
    }
}
