//! What a model file declares about itself, and what ONNX Runtime supports of it. No session of the model is opened.

use std::io::Cursor;
use std::path::Path;

use ort::logging::LogLevel;
use ort::session::Session;

use super::edited_model::read;
use super::error_text;
use super::model_file::{FileError, ModelFile};
use super::rewrite::{Value, fields, push_field, push_number_field};
use super::runtime::Runtime;

// Field numbers of onnx.proto.
const IR_VERSION: u64 = 1;
const PRODUCER_NAME: u64 = 2;
const PRODUCER_VERSION: u64 = 3;
const GRAPH: u64 = 7;
const OPERATOR_SET: u64 = 8;
const OPERATOR_SET_DOMAIN: u64 = 1;
const OPERATOR_SET_VERSION: u64 = 2;

/// The domain of ONNX's own operators. Files may leave it empty.
const ONNX_DOMAIN: &str = "ai.onnx";

/// A version that no release supports: ONNX Runtime's error names the newest that it supports.
const UNSUPPORTED: u64 = 1_000_000;

/// A set of operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSet {
    /// Its domain: `ai.onnx`.
    pub domain: String,
    /// Its version.
    pub version: u64,
}

/// What a model file declares about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelDeclaration {
    /// Version of the file format.
    pub ir_version: Option<u64>,
    /// The operators that the model uses.
    pub operator_sets: Vec<OperatorSet>,
    /// Name and version of the exporter. Empty if the file doesn't say it.
    pub producer: String,
    /// Names of the files with external data.
    pub external_data: Vec<String>,
}

impl ModelDeclaration {
    /// Reads a model file.
    ///
    /// # Errors
    /// When it can't be read or is no model.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::parse(&read(path)?)
    }

    fn parse(model: &[u8]) -> Result<Self, FileError> {
        let file = ModelFile::parse(Cursor::new(model), model.len() as u64)?;
        let mut found = Self {
            external_data: file.external.into_iter().collect(),
            ..Self::default()
        };
        let (mut name, mut version) = (String::new(), String::new());
        for field in fields(model) {
            let field = field?;
            match (field.number, field.value) {
                (IR_VERSION, Value::Number(number)) => found.ir_version = Some(number),
                (PRODUCER_NAME, Value::Bytes(bytes)) => name = text(bytes),
                (PRODUCER_VERSION, Value::Bytes(bytes)) => version = text(bytes),
                (OPERATOR_SET, Value::Bytes(bytes)) => {
                    found.operator_sets.push(operator_set(bytes)?);
                }
                _ => {}
            }
        }
        found.producer = format!("{name} {version}").trim().to_owned();
        Ok(found)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn operator_set(message: &[u8]) -> Result<OperatorSet, FileError> {
    let mut set = OperatorSet {
        domain: ONNX_DOMAIN.to_owned(),
        version: 0,
    };
    for field in fields(message) {
        let field = field?;
        match (field.number, field.value) {
            (OPERATOR_SET_DOMAIN, Value::Bytes(domain)) if !domain.is_empty() => {
                set.domain = text(domain);
            }
            (OPERATOR_SET_VERSION, Value::Number(version)) => set.version = version,
            _ => {}
        }
    }
    Ok(set)
}

/// The newest versions that a library supports. None where its errors don't tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewestSupported {
    /// Of the file format.
    pub ir_version: Option<u64>,
    /// Of ONNX's own operators.
    pub operator_set: Option<u64>,
}

impl NewestSupported {
    /// Opens two tiny models of versions that don't exist, and reads the errors.
    #[must_use]
    pub fn of(runtime: &Runtime) -> Self {
        let refusal = |ir_version, operator_set| {
            let opened = Session::builder(runtime.environment())
                .and_then(|builder| Ok(builder.with_log_level(LogLevel::Fatal)?))
                .and_then(|mut builder| {
                    builder.commit_from_memory(&empty_model(ir_version, operator_set))
                });
            opened
                .err()
                .map(|error| error_text(&error.to_string()))
                .unwrap_or_default()
        };
        Self {
            ir_version: number_after(&refusal(UNSUPPORTED, 17), "max supported IR version: "),
            operator_set: number_after(&refusal(8, UNSUPPORTED), "is till opset "),
        }
    }
}

/// A model without nodes.
fn empty_model(ir_version: u64, operator_set: u64) -> Vec<u8> {
    let (mut graph, mut set, mut model) = (Vec::new(), Vec::new(), Vec::new());
    push_field(&mut graph, 2, b"empty");
    push_number_field(&mut set, OPERATOR_SET_VERSION, operator_set);
    push_number_field(&mut model, IR_VERSION, ir_version);
    push_field(&mut model, GRAPH, &graph);
    push_field(&mut model, OPERATOR_SET, &set);
    model
}

/// The number that follows a phrase.
fn number_after(text: &str, phrase: &str) -> Option<u64> {
    let (_, rest) = text.split_once(phrase)?;
    let digits = rest.split(|character: char| !character.is_ascii_digit());
    digits.into_iter().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_has_the_versions_and_the_exporter() {
        let mut model = empty_model(9, 17);
        push_field(&mut model, PRODUCER_NAME, b"skl2onnx");
        let mut set = Vec::new();
        push_field(&mut set, OPERATOR_SET_DOMAIN, b"ai.onnx.ml");
        push_number_field(&mut set, OPERATOR_SET_VERSION, 3);
        push_field(&mut model, OPERATOR_SET, &set);
        let declared = ModelDeclaration::parse(&model).unwrap();
        assert_eq!(declared.ir_version, Some(9));
        assert_eq!(declared.producer, "skl2onnx");
        let sets: Vec<_> = declared
            .operator_sets
            .iter()
            .map(|set| (&*set.domain, set.version))
            .collect();
        assert_eq!(sets, [("ai.onnx", 17), ("ai.onnx.ml", 3)]);
        assert!(ModelDeclaration::parse(b"no model").is_err());
    }

    #[test]
    fn a_number_follows_its_phrase() {
        let said = "Unsupported model IR version: 99, max supported IR version: 11";
        assert_eq!(number_after(said, "max supported IR version: "), Some(11));
        assert_eq!(number_after(said, "is till opset "), None);
        assert_eq!(number_after("is till opset x", "is till opset "), None);
    }
}
