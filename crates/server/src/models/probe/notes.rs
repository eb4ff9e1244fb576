//! Notes on disk about models that failed their trial, so that a server that is started anew doesn't try
//! them again.
//!
//! A note says only that a trial of some content failed in one of a few ways, and is no more trusted than
//! that: whoever can write it can keep a model from being served, and nothing else.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ProbeFailure;
use crate::small_file;

const FILE: &str = "failed-trials.json";

/// Most notes that are kept; the oldest go first.
const MAX_NOTES: usize = 1_000;

/// Most bytes of the file. A note has some 150.
const MAX_BYTES: u64 = 1 << 20;

/// What tells one trial from another: a digest of the content and of what tries it, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key(pub(super) String);

impl Key {
    /// The key of 32 bytes.
    #[must_use]
    pub fn of(digest: [u8; 32]) -> Self {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in digest {
            let _never_fails = write!(text, "{byte:02x}");
        }
        Self(text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    key: Key,
    failure: ProbeFailure,
}

/// The notes in a folder.
#[derive(Debug, Clone)]
pub struct Notes {
    folder: PathBuf,
}

impl Notes {
    /// Those in this folder, which has to be there.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// What came of the trial, where it is noted. Notes that can't be read are none.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<ProbeFailure> {
        let notes = self.read();
        let note = notes.iter().rev().find(|note| note.key == *key)?;
        Some(note.failure)
    }

    /// Notes what came of a trial, where the folder can be written.
    pub fn add(&self, key: Key, failure: ProbeFailure) {
        let mut notes = self.read();
        notes.retain(|note| note.key != key);
        notes.push(Note { key, failure });
        let superfluous = notes.len().saturating_sub(MAX_NOTES);
        notes.drain(..superfluous);
        if let Err(error) = self.write(&notes) {
            tracing::warn!(
                folder = %self.folder.display(), %error,
                "that a model's trial failed can't be noted: it is tried again after a restart"
            );
        }
    }

    fn read(&self) -> Vec<Note> {
        let path = self.folder.join(FILE);
        match read(&path) {
            Ok(notes) => notes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "notes of failed trials are passed over");
                Vec::new()
            }
        }
    }

    fn write(&self, notes: &[Note]) -> io::Result<()> {
        let json = serde_json::to_vec(notes)?;
        let partial = self.folder.join(format!(".{FILE}.partial"));
        let mut file = File::create(&partial)?;
        file.write_all(&json)?;
        fs::rename(&partial, self.folder.join(FILE))
    }
}

fn read(path: &Path) -> io::Result<Vec<Note>> {
    Ok(serde_json::from_slice(&small_file::read(path, MAX_BYTES)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASHED: ProbeFailure = ProbeFailure::Crashed { signal: 8 };

    fn key(number: usize) -> Key {
        Key(format!("{number:064x}"))
    }

    #[test]
    fn what_is_noted_is_found_by_the_next_server() {
        let folder = tempfile::tempdir().unwrap();
        let notes = || Notes::new(folder.path().to_owned());
        assert_eq!(notes().find(&key(1)), None);
        notes().add(key(1), CRASHED);
        notes().add(key(2), ProbeFailure::TooLong { seconds: 120 });
        assert_eq!(notes().find(&key(1)), Some(CRASHED));
        assert_eq!(notes().find(&key(3)), None);
        notes().add(key(1), ProbeFailure::TooMuchMemory { mebibytes: 5 });
        let found = notes().find(&key(1));
        assert_eq!(found, Some(ProbeFailure::TooMuchMemory { mebibytes: 5 }));
    }

    #[test]
    fn notes_are_bounded_and_the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path().to_owned());
        let many: Vec<Note> = (0..MAX_NOTES)
            .map(|number| Note {
                key: key(number),
                failure: CRASHED,
            })
            .collect();
        notes.write(&many).unwrap();
        notes.add(key(MAX_NOTES), CRASHED);
        assert_eq!(notes.read().len(), MAX_NOTES);
        assert_eq!(notes.find(&key(0)), None);
        assert_eq!(notes.find(&key(MAX_NOTES)), Some(CRASHED));
        let bytes = fs::metadata(folder.path().join(FILE)).unwrap().len();
        assert!(bytes < MAX_BYTES, "{bytes}");
    }

    #[test]
    fn what_is_no_note_is_none_and_is_written_anew() {
        for content in [
            "",
            "[",
            r#"[{"key": "00", "failure": "Unheard"}]"#,
            r#"[{"key": "00", "failure": {"Crashed": {"signal": 8}}, "more": 1}]"#,
            &"[".repeat(10_000),
            &" ".repeat(2 << 20),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), content).unwrap();
            let notes = Notes::new(folder.path().to_owned());
            assert_eq!(notes.find(&key(0)), None);
            notes.add(key(0), CRASHED);
            assert_eq!(notes.find(&key(0)), Some(CRASHED));
        }
    }

    #[test]
    fn a_folder_that_can_not_be_written_costs_the_note_only() {
        let notes = Notes::new("/nowhere".into());
        notes.add(key(0), CRASHED);
        assert_eq!(notes.find(&key(0)), None);
    }
}
