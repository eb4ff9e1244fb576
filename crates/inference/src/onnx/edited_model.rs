//! Models that ONNX Runtime accepts only after some of their bytes are changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::external_data::Located;
use super::model_file::FileError;
use super::rewrite::{Message, Value, fields, push_field, rewrite};

/// Maximum size of a model, in bytes: the limit of protobuf.
const MAX_BYTES: u64 = i32::MAX as u64;

/// ONNX Runtime's option, from 1.21 on, for the folder of a model's external data where the model is
/// given as bytes
/// ([`kOrtSessionOptionsModelExternalInitializersFileFolderPath`](https://github.com/microsoft/onnxruntime/blob/v1.24.4/include/onnxruntime/core/session/onnxruntime_session_options_config_keys.h)).
const DATA_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// An edited model in memory, equivalent to its file.
#[derive(Debug)]
pub(super) struct EditedModel {
    bytes: Vec<u8>,
    /// Paths of its external data are relative to this folder.
    folder: Option<String>,
}

/// Reads a model file.
///
/// # Errors
/// When it can't be read or is too large.
pub(super) fn read(model: &Path) -> Result<Vec<u8>, FileError> {
    if fs::metadata(model)?.len() > MAX_BYTES {
        return Err(FileError::Malformed);
    }
    Ok(fs::read(model)?)
}

impl EditedModel {
    /// A model whose external data is named by its real paths, so that ONNX Runtime finds it through links. None
    /// where a path isn't UTF-8.
    ///
    /// # Errors
    /// When the bytes are no model.
    pub(super) fn new(bytes: Vec<u8>, external: &Located) -> Result<Option<Self>, FileError> {
        let Some(folder) = common_folder(external.values()) else {
            let folder = None;
            return Ok(Some(Self { bytes, folder }));
        };
        let Some(from) = folder.to_str() else {
            return Ok(None);
        };
        let names: Option<BTreeMap<&str, &str>> = external
            .iter()
            .map(|(name, file)| Some((&**name, file.strip_prefix(&folder).ok()?.to_str()?)))
            .collect();
        let Some(names) = names else {
            return Ok(None);
        };
        Ok(Some(Self {
            bytes: renamed(&bytes, &names)?.unwrap_or(bytes),
            folder: Some(from.to_owned()),
        }))
    }

    /// Opens a session.
    pub(super) fn commit(&self, builder: SessionBuilder) -> ort::Result<Session> {
        let mut builder = match &self.folder {
            Some(folder) => builder.with_config_entry(DATA_FOLDER, folder)?,
            None => builder,
        };
        builder.commit_from_memory(&self.bytes)
    }
}

/// The deepest folder that contains all files.
fn common_folder<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Option<PathBuf> {
    let mut folders = files.into_iter().filter_map(|file| file.parent());
    let mut common = folders.next()?;
    for folder in folders {
        while !folder.starts_with(common) {
            common = common.parent()?;
        }
    }
    Some(common.to_owned())
}

/// The model with its external data renamed. None where it has none of these names.
fn renamed(model: &[u8], names: &BTreeMap<&str, &str>) -> Result<Option<Vec<u8>>, FileError> {
    rewrite(model, &mut |kind, message| {
        if kind != Message::ExternalData {
            return Ok(None);
        }
        let (mut key, mut value) = (&b""[..], &b""[..]);
        for field in fields(message) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Bytes(text)) => key = text,
                (2, Value::Bytes(text)) => value = text,
                _ => {}
            }
        }
        let name = std::str::from_utf8(value).ok();
        let Some(name) = name.and_then(|name| names.get(name)) else {
            return Ok(None);
        };
        if key != b"location" {
            return Ok(None);
        }
        let mut entry = Vec::new();
        push_field(&mut entry, 1, key);
        push_field(&mut entry, 2, name.as_bytes());
        Ok(Some(entry))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64, content: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        push_field(&mut message, number, content);
        message
    }

    fn entry(key: &str, value: &str) -> Vec<u8> {
        let entry = [message(1, key.as_bytes()), message(2, value.as_bytes())];
        message(13, &entry.concat())
    }

    /// A model with an initializer, and one in the attribute of a node.
    fn model(entries: &[Vec<u8>]) -> Vec<u8> {
        let tensor = entries.concat();
        let node = message(5, &message(5, &tensor));
        message(7, &[message(5, &tensor), message(1, &node)].concat())
    }

    #[test]
    fn locations_are_renamed_wherever_they_are_and_nothing_else() {
        let names = BTreeMap::from([("w", "stores/of/blobs/w"), ("16", "sixteen")]);
        let before = model(&[entry("location", "w"), entry("offset", "16")]);
        let after = model(&[
            entry("location", "stores/of/blobs/w"),
            entry("offset", "16"),
        ]);
        assert_eq!(renamed(&before, &names).unwrap(), Some(after));
        let other = model(&[entry("location", "v")]);
        assert_eq!(renamed(&other, &names).unwrap(), None);
    }

    #[test]
    fn the_common_folder_holds_all_files() {
        let folder = |files: &[&str]| {
            let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
            common_folder(&files)
        };
        assert_eq!(folder(&[]), None);
        assert_eq!(folder(&["/a/b/c"]), Some("/a/b".into()));
        assert_eq!(
            folder(&["/a/b/c", "/a/b/d/e", "/a/bb/f"]),
            Some("/a".into())
        );
        assert_eq!(folder(&["/a/b", "/c/d"]), Some("/".into()));
    }
}
