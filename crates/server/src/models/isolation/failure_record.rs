//! Failed isolated loads, recorded on disk, so that a restarted server doesn't repeat them.
//!
//! A record says only that an isolated load of some content failed, and how. Who can write the file can
//! keep a model from being served, and nothing else.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use springtide_tasks::folder::read_small;

use super::IsolatedLoadFailure;

const FILE: &str = "failed-trials.json";

/// Maximum number of recorded failures; the oldest are dropped first.
const MAX_FAILURES: usize = 1_000;

/// Maximum size of the file, in bytes. A failure has about 150.
const MAX_BYTES: u64 = 1 << 20;

/// Identifies an isolated load: a digest of the model's content and of the command that loads it, in
/// hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureKey(pub(super) String);

impl FailureKey {
    /// The key of a digest.
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
struct Entry {
    key: FailureKey,
    failure: IsolatedLoadFailure,
}

/// The record in a folder.
#[derive(Debug, Clone)]
pub struct FailureRecord {
    folder: PathBuf,
}

impl FailureRecord {
    /// The record in an existing folder.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The recorded failure of an isolated load. A record that can't be read is empty.
    #[must_use]
    pub fn find(&self, key: &FailureKey) -> Option<IsolatedLoadFailure> {
        let entries = self.read();
        let entry = entries.iter().rev().find(|entry| entry.key == *key)?;
        Some(entry.failure)
    }

    /// Records a failure, where the folder can be written.
    pub fn add(&self, key: FailureKey, failure: IsolatedLoadFailure) {
        let mut entries = self.read();
        entries.retain(|entry| entry.key != key);
        entries.push(Entry { key, failure });
        let surplus = entries.len().saturating_sub(MAX_FAILURES);
        entries.drain(..surplus);
        if let Err(error) = self.write(&entries) {
            tracing::warn!(
                folder = %self.folder.display(), %error,
                "the failed trial of a model can't be recorded: it is repeated after a restart"
            );
        }
    }

    fn read(&self) -> Vec<Entry> {
        let path = self.folder.join(FILE);
        match read(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the record of failed trials is ignored");
                Vec::new()
            }
        }
    }

    fn write(&self, entries: &[Entry]) -> io::Result<()> {
        let json = serde_json::to_vec(entries)?;
        let partial = self.folder.join(format!(".{FILE}.partial"));
        let mut file = File::create(&partial)?;
        file.write_all(&json)?;
        fs::rename(&partial, self.folder.join(FILE))
    }
}

fn read(path: &Path) -> io::Result<Vec<Entry>> {
    Ok(serde_json::from_slice(&read_small(path, MAX_BYTES)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASHED: IsolatedLoadFailure = IsolatedLoadFailure::Crashed { signal: 8 };

    fn key(number: usize) -> FailureKey {
        FailureKey(format!("{number:064x}"))
    }

    #[test]
    fn what_is_noted_is_found_by_the_next_server() {
        let folder = tempfile::tempdir().unwrap();
        let record = || FailureRecord::new(folder.path().to_owned());
        assert_eq!(record().find(&key(1)), None);
        record().add(key(1), CRASHED);
        record().add(key(2), IsolatedLoadFailure::TooLong { seconds: 120 });
        assert_eq!(record().find(&key(1)), Some(CRASHED));
        assert_eq!(record().find(&key(3)), None);
        record().add(key(1), IsolatedLoadFailure::TooMuchMemory { mebibytes: 5 });
        let found = record().find(&key(1));
        assert_eq!(
            found,
            Some(IsolatedLoadFailure::TooMuchMemory { mebibytes: 5 })
        );
    }

    #[test]
    fn notes_are_bounded_and_the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let record = FailureRecord::new(folder.path().to_owned());
        let many: Vec<Entry> = (0..MAX_FAILURES)
            .map(|number| Entry {
                key: key(number),
                failure: CRASHED,
            })
            .collect();
        record.write(&many).unwrap();
        record.add(key(MAX_FAILURES), CRASHED);
        assert_eq!(record.read().len(), MAX_FAILURES);
        assert_eq!(record.find(&key(0)), None);
        assert_eq!(record.find(&key(MAX_FAILURES)), Some(CRASHED));
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
            let record = FailureRecord::new(folder.path().to_owned());
            assert_eq!(record.find(&key(0)), None);
            record.add(key(0), CRASHED);
            assert_eq!(record.find(&key(0)), Some(CRASHED));
        }
    }

    #[test]
    fn a_folder_that_can_not_be_written_costs_the_note_only() {
        let record = FailureRecord::new("/nowhere".into());
        record.add(key(0), CRASHED);
        assert_eq!(record.find(&key(0)), None);
    }
}
