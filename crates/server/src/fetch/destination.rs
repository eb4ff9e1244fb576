//! The destination of the model: a partial file until its checksum matches.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};
use springtide_contract::sha256::Sha256;
use springtide_tasks::folder::read_small;

use super::fault::Fault;

/// Bytes of one read.
const CHUNK_BYTES: usize = 64 * 1024;

/// Maximum bytes of the metadata of a partial file: a checksum and an entity tag.
const MAX_METADATA_BYTES: u64 = 4096;

/// The path of the model, and its requirements.
#[derive(Debug)]
pub(super) struct Destination {
    path: PathBuf,
    partial: PathBuf,
    /// The file with the metadata of `partial`.
    metadata: PathBuf,
    sha256: Option<Sha256>,
    max_bytes: u64,
}

/// The received part of the model.
#[derive(Debug)]
pub(super) struct PartialFile {
    file: File,
    hasher: Hasher,
    length: u64,
    entity_tag: Option<String>,
}

impl PartialFile {
    /// Received bytes.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// The entity tag of the whole model, if the server sent one.
    pub(super) fn entity_tag(&self) -> Option<&str> {
        self.entity_tag.as_deref()
    }
}

/// The error of a transfer.
#[derive(Debug)]
pub(super) enum TransferError {
    /// The source failed.
    Source(io::Error),
    /// Anything else.
    Fault(Fault),
}

impl Destination {
    pub(super) fn new(path: &Path, sha256: Option<Sha256>, max_bytes: u64) -> Self {
        let beside = |suffix: &str| {
            let mut name = std::ffi::OsString::from(".");
            name.push(path.file_name().unwrap_or_default());
            name.push(suffix);
            path.with_file_name(name)
        };
        Self {
            path: path.to_owned(),
            // The names are fixed, so the files of a killed run are resumed or overwritten and don't accumulate.
            partial: beside(".partial"),
            metadata: beside(".partial-of"),
            sha256,
            max_bytes,
        }
    }

    /// Maximum bytes of the model.
    pub(super) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Whether the model is present, by its checksum. Always false without one.
    pub(super) fn is_present(&self) -> bool {
        self.sha256.is_some_and(|sha256| {
            let found = File::open(&self.path).and_then(hash);
            found.is_ok_and(|(hasher, _)| digest(hasher) == sha256)
        })
    }

    /// The part that an earlier attempt or run has received. None without a checksum, which verifies the whole in the
    /// end.
    pub(super) fn partial(&self) -> Option<PartialFile> {
        let metadata = read_small(&self.metadata, MAX_METADATA_BYTES).ok()?;
        let metadata = String::from_utf8(metadata).ok()?;
        let (sha256, entity_tag) = metadata.split_once('\n')?;
        if sha256 != self.sha256?.to_string() {
            return None;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).open(&self.partial).ok()?;
        let (hasher, length) = hash(&file).ok()?;
        (length > 0 && length <= self.max_bytes).then(|| PartialFile {
            file,
            hasher,
            length,
            entity_tag: (!entity_tag.is_empty()).then(|| entity_tag.to_owned()),
        })
    }

    /// Size of the partial file in bytes, valid or not.
    pub(super) fn partial_bytes(&self) -> u64 {
        fs::metadata(&self.partial).map_or(0, |metadata| metadata.len())
    }

    /// Starts a new part. `entity_tag` is that of the response.
    ///
    /// # Errors
    /// [`Fault::Storage`].
    pub(super) fn start(&self, entity_tag: Option<&str>) -> Result<PartialFile, Fault> {
        self.discard();
        let create = || {
            if let Some(sha256) = self.sha256 {
                let metadata = format!("{sha256}\n{}", entity_tag.unwrap_or_default());
                fs::write(&self.metadata, metadata)?;
            }
            File::create(&self.partial)
        };
        Ok(PartialFile {
            file: create().map_err(|error| self.storage(&error))?,
            hasher: Hasher::new(),
            length: 0,
            entity_tag: entity_tag.map(str::to_owned),
        })
    }

    /// Removes the partial file.
    pub(super) fn discard(&self) {
        for file in [&self.partial, &self.metadata] {
            let _missing = fs::remove_file(file);
        }
    }

    /// Writes all of `source` and commits it if it meets the requirements. After an error no partial file is left.
    /// `received` is called with the length so far.
    pub(super) fn write_all(
        &self,
        source: impl Read,
        received: impl FnMut(u64),
    ) -> Result<(), TransferError> {
        let part = self.start(None).map_err(TransferError::Fault)?;
        let result = self.resume(part, source, received);
        if result.is_err() {
            self.discard();
        }
        result
    }

    /// Appends the rest to a part and commits the whole if it meets the requirements. If the source fails, the part
    /// remains for another attempt. `received` is called with the length so far.
    pub(super) fn resume(
        &self,
        mut part: PartialFile,
        source: impl Read,
        received: impl FnMut(u64),
    ) -> Result<(), TransferError> {
        let result = self
            .append(&mut part, source, received)
            .and_then(|()| self.commit(part).map_err(TransferError::Fault));
        if matches!(result, Err(TransferError::Fault(_))) {
            self.discard();
        }
        result
    }

    /// Moves a complete part to the path.
    ///
    /// # Errors
    /// [`Fault::Checksum`] or [`Fault::Storage`].
    pub(super) fn commit(&self, part: PartialFile) -> Result<(), Fault> {
        let found = digest(part.hasher);
        if let Some(expected) = self.sha256.filter(|expected| *expected != found) {
            return Err(Fault::Checksum { expected });
        }
        let synced = part.file.sync_all();
        synced
            .and_then(|()| fs::rename(&self.partial, &self.path))
            .map_err(|error| self.storage(&error))?;
        self.discard();
        Ok(())
    }

    /// Whether a part is complete: a run may have been killed before it committed it.
    pub(super) fn is_complete(&self, part: &PartialFile) -> bool {
        self.sha256 == Some(digest(part.hasher.clone()))
    }

    fn append(
        &self,
        part: &mut PartialFile,
        mut source: impl Read,
        mut received: impl FnMut(u64),
    ) -> Result<(), TransferError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = match source.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(TransferError::Source(error)),
            };
            part.length += u64::try_from(length).unwrap_or(u64::MAX);
            if part.length > self.max_bytes {
                return Err(TransferError::Fault(Fault::TooLarge {
                    max: self.max_bytes,
                }));
            }
            part.hasher.update(&chunk[..length]);
            part.file
                .write_all(&chunk[..length])
                .map_err(|error| TransferError::Fault(self.storage(&error)))?;
            received(part.length);
        }
    }

    fn storage(&self, error: &io::Error) -> Fault {
        Fault::Storage {
            path: self.path.clone(),
            kind: error.kind(),
        }
    }
}

/// The hasher of all of a source, and its length.
fn digest(hasher: Hasher) -> Sha256 {
    <[u8; 32]>::from(hasher.finalize()).into()
}

fn hash(mut source: impl Read) -> io::Result<(Hasher, u64)> {
    let mut hasher = Hasher::new();
    let length = io::copy(&mut source, &mut hasher)?;
    Ok((hasher, length))
}

#[cfg(test)]
mod tests {
    use springtide_contract::termination::ModelFailure;

    use super::*;

    const CONTENT: &[u8] = b"a model";

    fn sha256(content: &[u8]) -> Sha256 {
        let mut hasher = Hasher::new();
        hasher.update(content);
        digest(hasher)
    }

    fn fault(result: Result<(), TransferError>) -> Fault {
        match result {
            Err(TransferError::Fault(fault)) => fault,
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
    fn the_expected_content_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let destination = Destination::new(&path, Some(sha256(CONTENT)), 7);
        assert!(!destination.is_present());
        destination.write_all(CONTENT, |_| ()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), CONTENT);
        assert_eq!(names(folder.path()), ["model.onnx"]);
        assert!(destination.is_present());
    }

    #[test]
    fn without_a_checksum_no_model_is_present() {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::new(&folder.path().join("model.onnx"), None, 100);
        destination.write_all(CONTENT, |_| ()).unwrap();
        assert!(!destination.is_present());
    }

    #[test]
    fn other_content_leaves_only_the_old_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        fs::write(&path, "the old model").unwrap();
        let destination = Destination::new(&path, Some(sha256(b"another")), 100);
        let fault = fault(destination.write_all(CONTENT, |_| ()));
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
        let destination = Destination::new(&folder.path().join("model.onnx"), None, 6);
        assert_eq!(
            fault(destination.write_all(CONTENT, |_| ())),
            Fault::TooLarge { max: 6 }
        );
        assert!(names(folder.path()).is_empty());
    }

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    #[test]
    fn a_part_remains_and_is_resumed_for_the_same_model_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let destination = Destination::new(&path, Some(sha256(CONTENT)), 100);
        assert!(destination.partial().is_none());
        let part = destination.start(Some("\"tag\"")).unwrap();
        let mut received = Vec::new();
        let result = destination.resume(part, CONTENT[..3].chain(Failing), |length| {
            received.push(length);
        });
        assert!(
            matches!(result, Err(TransferError::Source(_))),
            "{result:?}"
        );
        assert_eq!(received, [3]);

        // In another run.
        let destination = Destination::new(&path, Some(sha256(CONTENT)), 100);
        let part = destination.partial().unwrap();
        assert_eq!((part.length(), part.entity_tag()), (3, Some("\"tag\"")));
        assert!(!destination.is_complete(&part));
        for other in [
            Destination::new(&path, Some(sha256(b"another")), 100),
            Destination::new(&path, None, 100),
            Destination::new(&path, Some(sha256(CONTENT)), 2),
        ] {
            assert!(other.partial().is_none(), "{other:?}");
        }
        destination.resume(part, &CONTENT[3..], |_| ()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), CONTENT);
        assert_eq!(names(folder.path()), ["model.onnx"]);
    }

    #[test]
    fn a_complete_part_is_recognised_and_a_wrong_one_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        for (content, is_complete) in [(CONTENT, true), (b"A model", false)] {
            let destination = Destination::new(&path, Some(sha256(CONTENT)), 100);
            let part = destination.start(None).unwrap();
            let result = destination.resume(part, content.chain(Failing), |_| ());
            assert!(
                matches!(result, Err(TransferError::Source(_))),
                "{result:?}"
            );
            let part = destination.partial().unwrap();
            assert_eq!(destination.is_complete(&part), is_complete);
            assert_eq!(destination.commit(part).is_ok(), is_complete);
            destination.discard();
            assert_eq!(names(folder.path()), ["model.onnx"]);
        }
        let destination = Destination::new(&path, Some(sha256(b"another")), 100);
        let part = destination.start(None).unwrap();
        let fault = fault(destination.resume(part, CONTENT, |_| ()));
        assert_eq!(fault.reason(), ModelFailure::ChecksumMismatch);
        assert_eq!(names(folder.path()), ["model.onnx"]);
    }

    #[test]
    fn a_source_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::new(&folder.path().join("model.onnx"), None, 100);
        let result = destination.write_all(CONTENT.chain(Failing), |_| ());
        assert!(
            matches!(result, Err(TransferError::Source(_))),
            "{result:?}"
        );
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_missing_folder_is_a_storage_fault() {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::new(&folder.path().join("missing/model.onnx"), None, 100);
        assert_eq!(
            fault(destination.write_all(CONTENT, |_| ())).reason(),
            ModelFailure::StorageFailed
        );
    }
}
