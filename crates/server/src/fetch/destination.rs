//! The place for the model.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};
use springtide_contract::sha256::Sha256;

use super::fault::Fault;
use crate::small_file;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Most bytes of what is kept about a download: a checksum and an entity tag.
const MAX_NOTE_BYTES: u64 = 4096;

/// Where the model is to be, and what it must be.
#[derive(Debug)]
pub(super) struct Destination {
    path: PathBuf,
    partial: PathBuf,
    /// What `partial` is a part of.
    note: PathBuf,
    sha256: Option<Sha256>,
    max_bytes: u64,
}

/// A part of the model that is there.
#[derive(Debug)]
pub(super) struct PartialFile {
    file: File,
    hasher: Hasher,
    length: u64,
    entity_tag: Option<String>,
}

impl PartialFile {
    /// Bytes that are there.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// What the server calls the whole that this is a part of, where it said so.
    pub(super) fn entity_tag(&self) -> Option<&str> {
        self.entity_tag.as_deref()
    }
}

/// Why content didn't become the model.
#[derive(Debug)]
pub(super) enum TransferError {
    /// The source broke off.
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
            // Fixed names: what a killed run left is gone on with or overwritten, and doesn't pile up.
            partial: beside(".partial"),
            note: beside(".partial-of"),
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
        self.sha256.is_some_and(|sha256| {
            let found = File::open(&self.path).and_then(hash);
            found.is_ok_and(|(hasher, _)| digest(hasher) == sha256)
        })
    }

    /// The part of the model that an earlier attempt, or an earlier run, has left. Only where a checksum decides in the
    /// end what it was worth.
    pub(super) fn begun(&self) -> Option<PartialFile> {
        let note = small_file::read(&self.note, MAX_NOTE_BYTES).ok()?;
        let note = String::from_utf8(note).ok()?;
        let (sha256, entity_tag) = note.split_once('\n')?;
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

    /// Bytes of the model that are there, of whatever worth.
    pub(super) fn begun_bytes(&self) -> u64 {
        fs::metadata(&self.partial).map_or(0, |metadata| metadata.len())
    }

    /// Nothing is there. `entity_tag` is what the server calls what comes.
    ///
    /// # Errors
    /// Where the place can't be written.
    pub(super) fn anew(&self, entity_tag: Option<&str>) -> Result<PartialFile, Fault> {
        self.discard();
        let begin = || {
            if let Some(sha256) = self.sha256 {
                let note = format!("{sha256}\n{}", entity_tag.unwrap_or_default());
                fs::write(&self.note, note)?;
            }
            File::create(&self.partial)
        };
        Ok(PartialFile {
            file: begin().map_err(|error| self.storage(&error))?,
            hasher: Hasher::new(),
            length: 0,
            entity_tag: entity_tag.map(str::to_owned),
        })
    }

    /// Forgets what is there.
    pub(super) fn discard(&self) {
        for file in [&self.partial, &self.note] {
            let _never_made = fs::remove_file(file);
        }
    }

    /// Writes all of `source` and puts it in place if it is what it must be. Whatever goes wrong, no
    /// partial file is left.
    pub(super) fn fill(
        &self,
        source: impl Read,
        heard: impl FnMut(u64),
    ) -> Result<(), TransferError> {
        let part = self.anew(None).map_err(TransferError::Fault)?;
        let result = self.resume(part, source, heard);
        if result.is_err() {
            self.discard();
        }
        result
    }

    /// Adds the rest to a part, and puts it in place if the whole is what it must be. A part whose source broke off
    /// stays, for another attempt. `heard` is told the length with everything that comes.
    pub(super) fn resume(
        &self,
        mut part: PartialFile,
        source: impl Read,
        heard: impl FnMut(u64),
    ) -> Result<(), TransferError> {
        let result = self
            .write(&mut part, source, heard)
            .and_then(|()| self.put_in_place(part).map_err(TransferError::Fault));
        if matches!(result, Err(TransferError::Fault(_))) {
            self.discard();
        }
        result
    }

    /// Puts a part in place that is the whole.
    ///
    /// # Errors
    /// That it isn't, or that the place can't be written.
    pub(super) fn put_in_place(&self, part: PartialFile) -> Result<(), Fault> {
        let found = digest(part.hasher);
        if let Some(expected) = self.sha256.filter(|expected| *expected != found) {
            return Err(Fault::Checksum { expected });
        }
        let placed = part.file.sync_all();
        placed
            .and_then(|()| fs::rename(&self.partial, &self.path))
            .map_err(|error| self.storage(&error))?;
        self.discard();
        Ok(())
    }

    /// Whether a part is the whole already: a run may have been killed before it put it in place.
    pub(super) fn is_whole(&self, part: &PartialFile) -> bool {
        self.sha256 == Some(digest(part.hasher.clone()))
    }

    fn write(
        &self,
        part: &mut PartialFile,
        mut source: impl Read,
        mut heard: impl FnMut(u64),
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
            heard(part.length);
        }
    }

    fn storage(&self, error: &io::Error) -> Fault {
        Fault::Storage {
            path: self.path.clone(),
            kind: error.kind(),
        }
    }
}

/// What the hasher has seen after all of a source, and its length.
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
    fn the_right_content_is_put_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let target = Destination::new(&path, Some(sha256(CONTENT)), 7);
        assert!(!target.is_there());
        target.fill(CONTENT, |_| ()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), CONTENT);
        assert_eq!(names(folder.path()), ["model.onnx"]);
        assert!(target.is_there());
    }

    #[test]
    fn without_a_checksum_nothing_counts_as_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = Destination::new(&folder.path().join("model.onnx"), None, 100);
        target.fill(CONTENT, |_| ()).unwrap();
        assert!(!target.is_there());
    }

    #[test]
    fn wrong_content_leaves_the_old_model_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        fs::write(&path, "the old model").unwrap();
        let target = Destination::new(&path, Some(sha256(b"another")), 100);
        let fault = fault(target.fill(CONTENT, |_| ()));
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
        let target = Destination::new(&folder.path().join("model.onnx"), None, 6);
        assert_eq!(
            fault(target.fill(CONTENT, |_| ())),
            Fault::TooLarge { max: 6 }
        );
        assert!(names(folder.path()).is_empty());
    }

    struct Breaking;

    impl Read for Breaking {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    #[test]
    fn a_part_stays_and_is_gone_on_with_for_the_same_model_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let target = Destination::new(&path, Some(sha256(CONTENT)), 100);
        assert!(target.begun().is_none());
        let part = target.anew(Some("\"tag\"")).unwrap();
        let mut heard = Vec::new();
        let result = target.resume(part, CONTENT[..3].chain(Breaking), |length| {
            heard.push(length);
        });
        assert!(
            matches!(result, Err(TransferError::Source(_))),
            "{result:?}"
        );
        assert_eq!(heard, [3]);

        // Of another run.
        let target = Destination::new(&path, Some(sha256(CONTENT)), 100);
        let part = target.begun().unwrap();
        assert_eq!((part.length(), part.entity_tag()), (3, Some("\"tag\"")));
        assert!(!target.is_whole(&part));
        for other in [
            Destination::new(&path, Some(sha256(b"another")), 100),
            Destination::new(&path, None, 100),
            Destination::new(&path, Some(sha256(CONTENT)), 2),
        ] {
            assert!(other.begun().is_none(), "{other:?}");
        }
        target.resume(part, &CONTENT[3..], |_| ()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), CONTENT);
        assert_eq!(names(folder.path()), ["model.onnx"]);
    }

    #[test]
    fn a_part_that_is_the_whole_is_known_and_a_wrong_one_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        for (content, is_whole) in [(CONTENT, true), (b"A model", false)] {
            let target = Destination::new(&path, Some(sha256(CONTENT)), 100);
            let part = target.anew(None).unwrap();
            let result = target.resume(part, content.chain(Breaking), |_| ());
            assert!(
                matches!(result, Err(TransferError::Source(_))),
                "{result:?}"
            );
            let part = target.begun().unwrap();
            assert_eq!(target.is_whole(&part), is_whole);
            assert_eq!(target.put_in_place(part).is_ok(), is_whole);
            target.discard();
            assert_eq!(names(folder.path()), ["model.onnx"]);
        }
        let target = Destination::new(&path, Some(sha256(b"another")), 100);
        let part = target.anew(None).unwrap();
        let fault = fault(target.resume(part, CONTENT, |_| ()));
        assert_eq!(fault.reason(), ModelFailure::ChecksumMismatch);
        assert_eq!(names(folder.path()), ["model.onnx"]);
    }

    #[test]
    fn a_source_that_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = Destination::new(&folder.path().join("model.onnx"), None, 100);
        let result = target.fill(CONTENT.chain(Breaking), |_| ());
        assert!(
            matches!(result, Err(TransferError::Source(_))),
            "{result:?}"
        );
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_missing_folder_is_a_storage_fault() {
        let folder = tempfile::tempdir().unwrap();
        let target = Destination::new(&folder.path().join("missing/model.onnx"), None, 100);
        assert_eq!(
            fault(target.fill(CONTENT, |_| ())).reason(),
            ModelFailure::StorageFailed
        );
    }
}
