//! Files of the model's owner beside the model file: settings, and valid rows for the warm-up.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use springtide_contract::batching::BatchingMode;
use springtide_contract::names::UnknownName;
use springtide_contract::task::Task;
use springtide_inference::{Signature, Tensor};
use springtide_open_inference::{Limits, http::parse_request};
use springtide_tasks::folder::read_small;

/// Name of the settings file.
pub const SETTINGS_FILE: &str = "springtide.toml";

/// Name of the file with valid rows: the body of a request of the Open Inference Protocol.
pub const WARM_UP_FILE: &str = "warmup.json";

/// Maximum size of each file, in bytes: some images as JSON.
const MAX_BYTES: u64 = 64 << 20;

/// Maximum number of rows that are read from a warm-up file.
const MAX_WARM_UP_ROWS: usize = 64;

/// A file of the owner that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} beside the model can't be used: {problem}")]
pub struct OwnerFileError {
    file: &'static str,
    problem: String,
}

impl OwnerFileError {
    fn new(file: &'static str, problem: &dyn Display) -> Self {
        Self {
            file,
            problem: problem.to_string().trim().to_owned(),
        }
    }

    fn settings(problem: impl Display) -> Self {
        Self::new(SETTINGS_FILE, &problem)
    }

    pub(super) fn warm_up(problem: impl Display) -> Self {
        Self::new(WARM_UP_FILE, &problem)
    }
}

/// Settings of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Batching.
    #[serde(default)]
    pub batching: BatchingSettings,
    /// Task. Default: the flag of the server, or else found from the files beside the model.
    #[serde(default, deserialize_with = "named")]
    pub task: Option<Task>,
}

/// Settings of batching.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchingSettings {
    /// Who decides whether requests share batches. Default: the flag of the server.
    #[serde(default, deserialize_with = "named")]
    pub mode: Option<BatchingMode>,
}

/// A value by its name.
fn named<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = UnknownName>,
{
    let name = String::deserialize(deserializer)?;
    name.parse().map(Some).map_err(D::Error::custom)
}

/// The settings in a folder. Defaults where there is no file.
///
/// # Errors
/// When the file can't be read or is invalid.
pub(super) fn settings(folder: &Path) -> Result<Settings, OwnerFileError> {
    let Some(bytes) = read(&folder.join(SETTINGS_FILE)).map_err(OwnerFileError::settings)? else {
        return Ok(Settings::default());
    };
    let text = String::from_utf8(bytes).map_err(OwnerFileError::settings)?;
    toml::from_str(&text).map_err(|error| OwnerFileError::settings(problem(&text, &error)))
}

/// The problem and its line, without the text of the file. Clients see the message, and the file may be a link to a
/// confidential one.
fn problem(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    format!("line {line}: {}", error.message())
}

/// The warm-up rows in a folder, each with one tensor for each required input. Empty where there is no file. Where
/// the model has no rows, the whole file is one.
///
/// # Errors
/// When the file can't be read, isn't a request, or the model rejects it.
pub(super) fn warm_up_rows(
    folder: &Path,
    signature: &Signature,
) -> Result<Vec<Vec<Tensor>>, OwnerFileError> {
    let Some(body) = read(&folder.join(WARM_UP_FILE)).map_err(OwnerFileError::warm_up)? else {
        return Ok(Vec::new());
    };
    rows(&body, signature)
}

fn rows(body: &[u8], signature: &Signature) -> Result<Vec<Vec<Tensor>>, OwnerFileError> {
    let request = parse_request(body, None, &Limits::new(signature, None))
        .map_err(OwnerFileError::warm_up)?
        .resolve(signature)
        .map_err(OwnerFileError::warm_up)?;
    if !signature.has_row_axis() {
        return Ok(vec![request.inputs]);
    }
    let count = request.inputs.first().map_or(0, Tensor::rows);
    if request.inputs.iter().any(|input| input.rows() != count) {
        return Err(OwnerFileError::warm_up(
            "its inputs have different numbers of rows",
        ));
    }
    let row = |at: usize| -> Option<Vec<Tensor>> {
        let one = |input: &Tensor| Some(input.view_rows(at..at + 1)?.to_tensor());
        request.inputs.iter().map(one).collect()
    };
    Ok((0..count.min(MAX_WARM_UP_ROWS)).filter_map(row).collect())
}

/// None where the file doesn't exist.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_small(path, MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::models::testing::classifier_signature;

    #[test]
    fn settings_are_read_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(settings(folder.path()), Ok(Settings::default()));
        fs::write(
            folder.path().join(SETTINGS_FILE),
            "task = \"text-embedding\"\n[batching]\nmode = \"never\"\n",
        )
        .unwrap();
        let settings = settings(folder.path()).unwrap();
        assert_eq!(settings.batching.mode, Some(BatchingMode::Never));
        assert_eq!(settings.task, Some(Task::TextEmbedding));
    }

    #[test]
    fn settings_that_are_not_understood_are_an_error_that_says_where() {
        let folder = tempfile::tempdir().unwrap();
        for (text, said) in [
            ("[batching]\nmode = \"sometimes\"\n", "sometimes"),
            ("[batchin]\n", "batchin"),
            ("batching", "line 1"),
        ] {
            fs::write(folder.path().join(SETTINGS_FILE), text).unwrap();
            let error = settings(folder.path()).unwrap_err().to_string();
            assert!(error.starts_with(SETTINGS_FILE), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_is_in_a_file_that_is_no_settings_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let secret = "\nheader.secret.signature\n";
        fs::write(folder.path().join(SETTINGS_FILE), secret).unwrap();
        let error = settings(folder.path()).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let listen = |name| UnixListener::bind(folder.path().join(name)).unwrap();
        let _listeners = [SETTINGS_FILE, WARM_UP_FILE].map(listen);
        let error = settings(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no file"), "{error}");
        let error = warm_up_rows(folder.path(), &classifier_signature()).unwrap_err();
        assert!(error.to_string().contains("no file"), "{error}");
    }

    #[test]
    fn warm_up_rows_are_a_request_cut_into_rows() {
        let body = br#"{"inputs": [{"name": "features", "shape": [2, 2], "datatype": "FP32",
                        "data": [1, 2, 3, 4]}]}"#;
        let cut = rows(body, &classifier_signature()).unwrap();
        let row = |numbers: [f32; 2]| vec![Tensor::new(vec![1, 2], numbers.to_vec()).unwrap()];
        assert_eq!(cut, [row([1.0, 2.0]), row([3.0, 4.0])]);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            warm_up_rows(folder.path(), &classifier_signature()),
            Ok(Vec::new())
        );
    }

    #[test]
    fn a_warm_up_that_the_model_does_not_take_is_an_error() {
        for body in [
            &b"no json"[..],
            br#"{"inputs": []}"#,
            br#"{"inputs": [{"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}"#,
        ] {
            let error = rows(body, &classifier_signature()).unwrap_err().to_string();
            assert!(error.starts_with(WARM_UP_FILE), "{error}");
        }
    }
}
