//! Metadata that exporters write into a model file.

use super::model_file::FileError;
use super::rewrite::{Value, fields};

// Field numbers of onnx.proto.
const MODEL_METADATA: u64 = 14;
const ENTRY_KEY: u64 = 1;
const ENTRY_VALUE: u64 = 2;

/// The entry of `metadata_props` with a key. None without it, and where it is no text.
///
/// # Errors
/// When the bytes are no model.
pub(super) fn entry(model: &[u8], key: &str) -> Result<Option<String>, FileError> {
    for field in fields(model) {
        let field = field?;
        let (MODEL_METADATA, Value::Bytes(entry)) = (field.number, field.value) else {
            continue;
        };
        let (mut is_meant, mut value) = (false, None);
        for field in fields(entry) {
            let field = field?;
            match (field.number, field.value) {
                (ENTRY_KEY, Value::Bytes(given)) => is_meant = given == key.as_bytes(),
                (ENTRY_VALUE, Value::Bytes(given)) => value = Some(given),
                _ => {}
            }
        }
        if is_meant {
            return Ok(value
                .and_then(|value| std::str::from_utf8(value).ok())
                .map(str::to_owned));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::rewrite::push_field;
    use super::*;

    fn prop(key: &str, value: &[u8]) -> Vec<u8> {
        let (mut entry, mut model) = (Vec::new(), Vec::new());
        push_field(&mut entry, ENTRY_KEY, key.as_bytes());
        push_field(&mut entry, ENTRY_VALUE, value);
        push_field(&mut model, MODEL_METADATA, &entry);
        model
    }

    #[test]
    fn an_entry_is_found_by_its_key() {
        let model = [prop("author", b"me"), prop("feature_names", b"[]")].concat();
        assert_eq!(
            entry(&model, "feature_names").unwrap().as_deref(),
            Some("[]")
        );
        assert_eq!(entry(&model, "classes").unwrap(), None);
        assert_eq!(
            entry(&prop("feature_names", b"\xff"), "feature_names").unwrap(),
            None
        );
        assert!(entry(&model[..model.len() - 1], "feature_names").is_err());
    }
}
