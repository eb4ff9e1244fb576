//! The files of an exporter in a model's folder.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Maximum bytes of a configuration file.
pub const MAX_CONFIGURATION_BYTES: u64 = 4 << 20;

/// A file of the folder that can't be used. The text never contains parts of the file, which may be a link to a
/// confidential one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} beside the model can't be used: {problem}")]
pub struct FolderError {
    /// Path of the file in the folder.
    pub file: &'static str,
    /// The problem.
    pub problem: String,
}

impl FolderError {
    /// The error of a file.
    pub fn new(file: &'static str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self { file, problem }
    }
}

/// The folder of a model file.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    path: PathBuf,
}

impl ModelFolder {
    /// The folder at a path. It isn't read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The bytes of a file of at most `max_bytes` bytes. None if there is no such file.
    ///
    /// # Errors
    /// When it can't be read, isn't a regular file, or is too large.
    pub fn read(&self, file: &'static str, max_bytes: u64) -> Result<Option<Vec<u8>>, FolderError> {
        match read_small(&self.path.join(file), max_bytes) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FolderError::new(file, error.to_string())),
        }
    }

    /// Whether there is a file of this name.
    #[must_use]
    pub fn contains(&self, file: &'static str) -> bool {
        fs::metadata(self.path.join(file)).is_ok_and(|metadata| metadata.is_file())
    }

    /// The content of a JSON file. None if there is no such file.
    ///
    /// # Errors
    /// Those of [`Self::read`], and when the content isn't a `T`.
    pub fn json<T: DeserializeOwned>(&self, file: &'static str) -> Result<Option<T>, FolderError> {
        let Some(bytes) = self.read(file, MAX_CONFIGURATION_BYTES)? else {
            return Ok(None);
        };
        let parsed = serde_json::from_slice(&bytes);
        parsed
            .map(Some)
            .map_err(|error| json_error(file, &error, "a value has the wrong type"))
    }
}

/// The error of a JSON file, with its place. `unreadable` is the problem of valid JSON.
pub(crate) fn json_error(
    file: &'static str,
    error: &serde_json::Error,
    unreadable: &str,
) -> FolderError {
    let (line, column) = (error.line(), error.column());
    let problem = if error.is_data() {
        unreadable
    } else {
        "it is not valid JSON"
    };
    FolderError::new(file, format!("{problem}, at line {line}, column {column}"))
}

/// The content of a file of at most `max_bytes` bytes.
///
/// # Errors
/// `InvalidInput` if it is no regular file, `FileTooLarge` if it is larger, otherwise the error of the operating
/// system.
pub fn read_small(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for a writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let message = format!("it has more than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_none_and_others_are_errors_without_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let files = ModelFolder::new(folder.path());
        assert_eq!(files.json::<Vec<u8>>("config.json"), Ok(None));
        for (content, expected) in [
            ("\n[1, secret", "not valid JSON, at line 2"),
            (r#""secret""#, "wrong type, at line 1"),
        ] {
            fs::write(folder.path().join("config.json"), content).unwrap();
            let error = files.json::<Vec<u8>>("config.json").unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("config.json beside the model"), "{text}");
            assert!(
                text.contains(expected) && !text.contains("secret"),
                "{text}"
            );
        }
        assert!(files.read("config.json", 3).is_err());
    }
}
