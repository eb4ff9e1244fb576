//! The place for the model.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};

use super::attempt::Fault;
use super::location::Sha256;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Where the model is to be, and what it must be.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    partial: PathBuf,
    sha256: Option<Sha256>,
    max_bytes: u64,
}

/// Why content didn't become the model.
#[derive(Debug)]
pub(super) enum Broken {
    /// The source broke off.
    Source(io::Error),
    /// Anything else.
    Fault(Fault),
}

impl Target {
    pub(super) fn new(path: &Path, sha256: Option<Sha256>, max_bytes: u64) -> Self {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".partial");
        // One fixed name: what a killed run left is overwritten, and doesn't pile up.
        let partial = path.with_file_name(name);
        Self {
            path: path.to_owned(),
            partial,
            sha256,
            max_bytes,
        }
    }

    /// Most bytes that are accepted.
    pub(super) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Whether the model is there already, by its checksum; never true without one.
    pub(super) fn is_there(&self) -> bool {
        let hash = |path| {
            let mut hasher = Hasher::new();
            io::copy(&mut File::open(path)?, &mut hasher)?;
            Ok::<_, io::Error>(Sha256::from(hasher))
        };
        self.sha256
            .is_some_and(|sha256| hash(&self.path).is_ok_and(|found| found == sha256))
    }

    /// Writes all of `source` and puts it in place if it is what it must be. Whatever goes wrong, no
    /// partial file is left.
    pub(super) fn fill(&self, source: impl Read) -> Result<(), Broken> {
        let result = self.write(source).and_then(|()| {
            fs::rename(&self.partial, &self.path).map_err(|error| self.storage(&error))
        });
        if result.is_err() {
            let _never_made = fs::remove_file(&self.partial);
        }
        result
    }

    fn write(&self, mut source: impl Read) -> Result<(), Broken> {
        let mut file = File::create(&self.partial).map_err(|error| self.storage(&error))?;
        let mut hasher = Hasher::new();
        let mut left = self.max_bytes;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Broken::Source(error)),
            };
            let bytes = u64::try_from(length).unwrap_or(u64::MAX);
            left = left
                .checked_sub(bytes)
                .ok_or(Broken::Fault(Fault::TooLarge {
                    max: self.max_bytes,
                }))?;
            hasher.update(&chunk[..length]);
            file.write_all(&chunk[..length])
                .map_err(|error| self.storage(&error))?;
        }
        let found = Sha256::from(hasher);
        match self.sha256 {
            Some(expected) if expected != found => Err(Broken::Fault(Fault::Checksum { expected })),
            _ => file.sync_all().map_err(|error| self.storage(&error)),
        }
    }

    fn storage(&self, error: &io::Error) -> Broken {
        Broken::Fault(Fault::Storage {
            path: self.path.clone(),
            kind: error.kind(),
        })
    }
}

#[cfg(test)]
mod tests {
    use springtide_contract::termination::ModelFailure;

    use super::*;

    const CONTENT: &[u8] = b"a model";

    fn sha256(content: &[u8]) -> Sha256 {
        let mut hasher = Hasher::new();
        hasher.update(content);
        hasher.into()
    }

    fn fault(result: Result<(), Broken>) -> Fault {
        match result {
            Err(Broken::Fault(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn the_right_content_is_put_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let target = Target::new(&path, Some(sha256(CONTENT)), 7);
        assert!(!target.is_there());
        target.fill(CONTENT).unwrap();
        assert_eq!(fs::read(&path).unwrap(), CONTENT);
        assert_eq!(names(folder.path()), ["model.onnx"]);
        assert!(target.is_there());
    }

    #[test]
    fn without_a_checksum_nothing_counts_as_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("model.onnx"), None, 100);
        target.fill(CONTENT).unwrap();
        assert!(!target.is_there());
    }

    #[test]
    fn wrong_content_leaves_the_old_model_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        fs::write(&path, "the old model").unwrap();
        let target = Target::new(&path, Some(sha256(b"another")), 100);
        let fault = fault(target.fill(CONTENT));
        assert_eq!(fault.reason(), ModelFailure::ChecksumMismatch);
        let told = fault.to_string();
        assert!(told.contains(&sha256(b"another").to_string()), "{told}");
        assert!(!told.contains(&sha256(CONTENT).to_string()), "{told}");
        assert_eq!(fs::read(&path).unwrap(), b"the old model");
        assert_eq!(names(folder.path()), ["model.onnx"]);
    }

    #[test]
    fn one_byte_too_many_is_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("model.onnx"), None, 6);
        assert_eq!(fault(target.fill(CONTENT)), Fault::TooLarge { max: 6 });
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_source_that_breaks_off_leaves_nothing() {
        struct Breaking;
        impl Read for Breaking {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("model.onnx"), None, 100);
        let result = target.fill(CONTENT.chain(Breaking));
        assert!(matches!(result, Err(Broken::Source(_))), "{result:?}");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_missing_folder_is_a_storage_fault() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("missing/model.onnx"), None, 100);
        assert_eq!(
            fault(target.fill(CONTENT)).reason(),
            ModelFailure::StorageFailed
        );
    }
}
