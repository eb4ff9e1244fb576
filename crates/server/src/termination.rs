//! The termination message: why this container ended, for the operator.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use springtide_contract::termination::{MAX_BYTES, TerminationMessage};
use springtide_contract::text::plain;

/// Longest text of a termination message, in bytes. The JSON around it and the escapes in it have
/// to fit into [`MAX_BYTES`] too.
const MAX_TEXT: usize = MAX_BYTES / 2 - 256;

/// Writes the message where Kubernetes reads it. Where the file doesn't exist (it does in every
/// container that Kubernetes starts) nothing is written, so that a run by hand leaves no file
/// behind. A failure is logged: it must not hide the error that is being reported.
pub fn write(path: &Path, message: &TerminationMessage) {
    let shortened = shorten(message);
    let written = serde_json::to_vec(&shortened)
        .map_err(std::io::Error::from)
        .and_then(|json| {
            let mut file = match OpenOptions::new().write(true).truncate(true).open(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                opened => opened?,
            };
            file.write_all(&json)
        });
    if let Err(error) = written {
        tracing::warn!(%error, path = %path.display(), "could not write the termination message");
    }
}

/// The message as conditions and events may show it: a model's names and what is said of it are its author's.
fn shorten(message: &TerminationMessage) -> TerminationMessage {
    TerminationMessage {
        reason: message.reason,
        message: plain(&message.message, MAX_TEXT).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use springtide_contract::termination::ModelFailure;

    use super::*;

    fn message(text: &str) -> TerminationMessage {
        TerminationMessage {
            reason: ModelFailure::ModelInvalid,
            message: text.to_owned(),
        }
    }

    #[test]
    fn the_operator_can_read_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "an older and longer message that must go away").unwrap();
        write(file.path(), &message("broken"));
        let json = std::fs::read(file.path()).unwrap();
        let read: TerminationMessage = serde_json::from_slice(&json).unwrap();
        assert_eq!(read, message("broken"));
    }

    #[test]
    fn a_missing_file_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("termination-log");
        write(&path, &message("broken"));
        assert!(!path.exists());
    }

    #[test]
    fn a_long_message_stays_valid_json_within_the_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), &message(&"ü\"".repeat(5_000)));
        let json = std::fs::read(file.path()).unwrap();
        assert!(json.len() <= MAX_BYTES, "{} bytes", json.len());
        assert!(serde_json::from_slice::<TerminationMessage>(&json).is_ok());
    }

    #[test]
    fn what_controls_a_terminal_or_the_direction_is_not_passed_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), &message("\u{1b}[2J\u{202e}evil\nline"));
        let json = std::fs::read(file.path()).unwrap();
        let read: TerminationMessage = serde_json::from_slice(&json).unwrap();
        assert_eq!(read.message, "\u{fffd}[2J\u{fffd}evil line");
    }
}
