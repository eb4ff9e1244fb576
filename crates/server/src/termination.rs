//! The termination message: the reason for which this container ended, for the operator.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use springtide_contract::termination::{MAX_BYTES, TerminationMessage};
use springtide_contract::text::plain;

/// Maximum bytes of the text. The JSON around it and its escapes have to fit into [`MAX_BYTES`], too.
const MAX_TEXT: usize = MAX_BYTES / 2 - 256;

/// Writes the message to the file that Kubernetes reads. If the file doesn't exist, nothing is written: Kubernetes
/// creates it in every container, and a server on a workstation leaves no file behind. Failures are logged, because
/// they must not hide the error that is reported.
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
        tracing::warn!(%error, path = %path.display(), "can't write the termination message");
    }
}

/// The message with a text that conditions and events can show. It may contain names that a model's author chose.
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
    fn a_missing_file_is_not_created() {
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
    fn controls_of_terminals_and_of_the_direction_are_replaced() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), &message("\u{1b}[2J\u{202e}evil\nline"));
        let json = std::fs::read(file.path()).unwrap();
        let read: TerminationMessage = serde_json::from_slice(&json).unwrap();
        assert_eq!(read.message, "\u{fffd}[2J\u{fffd}evil line");
    }
}
