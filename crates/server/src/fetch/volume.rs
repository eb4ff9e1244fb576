//! A model in a mounted volume.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::destination::{Destination, TransferError};
use super::fault::{Fault, Progress, SourceContent};

/// Names that a message lists at most.
const MAX_NAMES: usize = 10;

/// Copies a file of the volume that is mounted at `source_dir`. The path may lead over symbolic
/// links, as it does in every mounted ConfigMap, but not out of the volume.
pub(super) fn copy(
    path: &Path,
    source_dir: &Path,
    target: &Destination,
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
    let heard = |length| progress.hear(length, total, Instant::now());
    target.fill(file, heard).map_err(|broken| match broken {
        TransferError::Source(error) => unreadable(&error),
        TransferError::Fault(fault) => fault,
    })
}

/// The file behind all symbolic links, if it is one and in the volume.
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
    // A pipe or a device would keep the reader waiting for ever.
    if metadata.is_file() {
        Ok(real)
    } else {
        Err(refused("is not a file"))
    }
}

/// What the volume has, sorted so that the message stays the same. Names that begin with two dots
/// are Kubernetes' own.
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

    /// A volume at `source`, laid out as kubelet lays out a ConfigMap, and a place for the model.
    struct Bench {
        folder: TempDir,
    }

    impl Bench {
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

        fn copy(&self, path: &str) -> Result<String, Fault> {
            let place = self.folder.path().join("copied.onnx");
            let source = self.source();
            let target = Destination::new(&place, None, 100);
            copy(&source.join(path), &source, &target, &mut progress())?;
            Ok(fs::read_to_string(place).unwrap())
        }
    }

    #[test]
    fn a_config_maps_key_is_copied_through_its_links() {
        assert_eq!(Bench::new().copy("model.onnx").unwrap(), "a model");
    }

    #[test]
    fn a_missing_key_is_not_found_and_the_message_lists_those_there_are() {
        let fault = Bench::new().copy("other.onnx").unwrap_err();
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
        let target = Destination::new(&folder.path().join("copied.onnx"), None, 100);
        for source in [folder.path().to_owned(), folder.path().join("missing")] {
            let fault = copy(
                &source.join("model.onnx"),
                &source,
                &target,
                &mut progress(),
            )
            .unwrap_err();
            assert_eq!(fault.reason(), ModelFailure::ModelNotFound);
            assert!(fault.to_string().contains("is empty or missing"), "{fault}");
        }
    }

    #[test]
    fn no_path_and_no_link_leads_out_of_the_volume() {
        let bench = Bench::new();
        let outside = bench.folder.path().join("secret");
        fs::write(&outside, "secret").unwrap();
        symlink("../secret", bench.source().join("relative")).unwrap();
        symlink(&outside, bench.source().join("absolute")).unwrap();
        symlink("..", bench.source().join("parent")).unwrap();
        let sibling = bench.folder.path().join("source-2");
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
            let fault = bench.copy(path).unwrap_err();
            assert_eq!(
                fault.reason(),
                ModelFailure::ModelRefused,
                "{path}: {fault}"
            );
        }
    }

    #[test]
    fn a_folder_is_not_a_model() {
        let bench = Bench::new();
        fs::create_dir(bench.source().join("folder")).unwrap();
        assert_eq!(
            bench.copy("folder").unwrap_err().reason(),
            ModelFailure::ModelRefused
        );
    }
}
