//! Parses the body of a request for a text model.

use serde_json::{Map, Value};

use super::encoded::TextInput;
use super::errors::TextError;
use crate::request::{FieldError, InvalidRequest, Options, Protocol, check_count, item, kind};

/// Maximum bytes of JSON of everything but the texts.
const BYTES_BESIDE_TEXTS: usize = 16 * 1024;

/// Maximum number of texts of a request. They run in batches.
pub const MAX_TEXTS: usize = 2048;

/// Maximum bytes of a body for any model. It limits memory.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A valid request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRequest {
    /// The texts, each with the second text of a pair. At least one.
    pub texts: Vec<(String, Option<String>)>,
    /// Whether the response has lists.
    pub list: bool,
    /// The field with the texts.
    field: &'static str,
    /// The options.
    pub options: Options,
}

/// Maximum bytes of a body with texts of at most `max_bytes` bytes, which may be pairs.
#[must_use]
pub const fn max_body_bytes(max_bytes: usize) -> usize {
    let texts = max_bytes.saturating_mul(2).saturating_mul(MAX_TEXTS);
    let all = texts.saturating_add(BYTES_BESIDE_TEXTS);
    if all < MAX_BODY_BYTES {
        all
    } else {
        MAX_BODY_BYTES
    }
}

impl TextRequest {
    /// A request of texts, or pairs of texts.
    ///
    /// # Errors
    /// When there is none, or there are more than [`MAX_TEXTS`].
    pub fn new(
        texts: Vec<(String, Option<String>)>,
        field: &'static str,
    ) -> Result<Self, FieldError> {
        check_count(field, texts.len(), "texts", MAX_TEXTS)?;
        Ok(Self {
            texts,
            list: true,
            field,
            options: Options::default(),
        })
    }

    /// The texts, for the tokenizer.
    #[must_use]
    pub fn inputs(&self) -> Vec<TextInput<'_>> {
        let inputs = self.texts.iter().map(|(text, second)| match second {
            Some(second) => TextInput::Pair(text, second),
            None => TextInput::Text(text),
        });
        inputs.collect()
    }

    /// The error of one text, with its field.
    #[must_use]
    pub fn field_error(&self, error: &TextError) -> FieldError {
        let (position, problem) = match error {
            TextError::TooLong {
                position,
                bytes,
                max_bytes,
            } => {
                let problem = format!("has {bytes} bytes, at most {max_bytes} are accepted");
                (position, problem)
            }
            TextError::NoPair { position } => (
                position,
                "needs a second text: the field text_pair".to_owned(),
            ),
            TextError::Pair { position, .. } => (
                position,
                "can't have a second text: the model takes single texts".to_owned(),
            ),
            TextError::Empty { position } => (position, "has no tokens".to_owned()),
            TextError::Encode { position, error } => {
                (position, format!("can't be tokenized: {error}"))
            }
        };
        FieldError::new(self.row(*position), problem)
    }

    /// The field of a text in messages.
    #[must_use]
    pub fn row(&self, position: usize) -> String {
        item(self.field, self.list, position)
    }
}

/// Parses a body.
///
/// # Errors
/// [`InvalidRequest`].
pub fn parse(body: &[u8], protocol: Protocol) -> Result<TextRequest, InvalidRequest> {
    let fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| InvalidRequest::Malformed(error.to_string()))?;
    let mut options = Options::default();
    for (field, value) in &fields {
        options.set(field, value)?;
    }
    let mut request = match protocol {
        Protocol::Predict => texts(fields)?,
        Protocol::V1 => instances(fields)?,
    };
    request.options = options;
    Ok(request)
}

/// The fields `text` and `text_pair`.
fn texts(mut fields: Map<String, Value>) -> Result<TextRequest, FieldError> {
    let required = || FieldError::new("text", "is required: a string, or a list of strings");
    let text = fields.remove("text").ok_or_else(required)?;
    let list = text.is_array();
    let firsts = strings("text", text)?;
    let pairs = match fields.remove("text_pair") {
        None | Some(Value::Null) => firsts.into_iter().map(|text| (text, None)).collect(),
        Some(second) => {
            if second.is_array() != list {
                let expected = if list {
                    "a list of strings"
                } else {
                    "a string"
                };
                let problem = format!("must be {expected}, as text is, not {}", kind(&second));
                return Err(FieldError::new("text_pair", problem));
            }
            let seconds = strings("text_pair", second)?;
            if seconds.len() != firsts.len() {
                let problem = format!("has {} texts, text has {}", seconds.len(), firsts.len());
                return Err(FieldError::new("text_pair", problem));
            }
            firsts
                .into_iter()
                .zip(seconds.into_iter().map(Some))
                .collect()
        }
    };
    let request = TextRequest::new(pairs, "text")?;
    Ok(TextRequest { list, ..request })
}

/// A string, or a list of strings.
fn strings(field: &str, value: Value) -> Result<Vec<String>, FieldError> {
    match value {
        Value::String(text) => Ok(vec![text]),
        Value::Array(values) => {
            let string = |(at, value): (usize, Value)| match value {
                Value::String(text) => Ok(text),
                other => Err(FieldError::new(
                    format!("{field}[{at}]"),
                    format!("must be a string, not {}", kind(&other)),
                )),
            };
            values.into_iter().enumerate().map(string).collect()
        }
        other => {
            let problem = format!(
                "must be a string, or a list of strings, not {}",
                kind(&other)
            );
            Err(FieldError::new(field, problem))
        }
    }
}

/// The field `instances`: strings, or objects with `text` and `text_pair`.
fn instances(mut fields: Map<String, Value>) -> Result<TextRequest, FieldError> {
    let required = || FieldError::new("instances", "is required: a list of texts");
    let instances = match fields.remove("instances").ok_or_else(required)? {
        Value::Array(instances) => instances,
        other => {
            let problem = format!("must be a list of texts, not {}", kind(&other));
            return Err(FieldError::new("instances", problem));
        }
    };
    let text = |(at, instance): (usize, Value)| match instance {
        Value::String(text) => Ok((text, None)),
        Value::Object(mut pair) => {
            let mut part = |name: &str| match pair.remove(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => Ok(Some(text)),
                Some(other) => Err(FieldError::new(
                    format!("instances[{at}].{name}"),
                    format!("must be a string, not {}", kind(&other)),
                )),
            };
            let missing = || FieldError::new(format!("instances[{at}].text"), "is missing");
            Ok((part("text")?.ok_or_else(missing)?, part("text_pair")?))
        }
        other => Err(FieldError::new(
            format!("instances[{at}]"),
            format!(
                "must be a string, or an object with text, not {}",
                kind(&other)
            ),
        )),
    };
    let texts = instances.into_iter().enumerate().map(text);
    TextRequest::new(texts.collect::<Result<_, _>>()?, "instances")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<TextRequest, InvalidRequest> {
        parse(body.as_bytes(), Protocol::Predict)
    }

    fn owned(texts: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
        let text =
            |(text, second): &(&str, Option<&str>)| ((*text).to_owned(), second.map(str::to_owned));
        texts.iter().map(text).collect()
    }

    #[test]
    fn texts_alone_in_lists_and_in_pairs() {
        let one = read(r#"{"text": "a", "request_id": "r", "probabilities": true}"#).unwrap();
        assert_eq!((one.texts, one.list), (owned(&[("a", None)]), false));
        assert_eq!(one.options.request_id.as_deref(), Some("r"));
        assert!(one.options.probabilities);
        let two = read(r#"{"text": ["a", "b"], "text_pair": ["c", "d"]}"#).unwrap();
        let pairs = owned(&[("a", Some("c")), ("b", Some("d"))]);
        assert_eq!((&two.texts, two.list), (&pairs, true));
        let inputs = [TextInput::Pair("a", "c"), TextInput::Pair("b", "d")];
        assert_eq!(two.inputs(), inputs);
        let body = br#"{"instances": ["a", {"text": "b", "text_pair": "c"}]}"#;
        let request = parse(body, Protocol::V1).unwrap();
        assert_eq!(request.texts, owned(&[("a", None), ("b", Some("c"))]));
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (body, field, problem) in [
            ("{}", "text", "is required: a string, or a list of strings"),
            (
                r#"{"text": 1}"#,
                "text",
                "must be a string, or a list of strings, not a number",
            ),
            (
                r#"{"text": ["a", null]}"#,
                "text[1]",
                "must be a string, not null",
            ),
            (r#"{"text": []}"#, "text", "must not be empty"),
            (
                r#"{"text": "a", "text_pair": ["b"]}"#,
                "text_pair",
                "must be a string, as text is, not a list",
            ),
            (
                r#"{"text": ["a"], "text_pair": ["b", "c"]}"#,
                "text_pair",
                "has 2 texts, text has 1",
            ),
            (
                r#"{"text": "a", "top_k": 0}"#,
                "top_k",
                "must be a positive integer, not 0",
            ),
        ] {
            let expected = InvalidRequest::Field(FieldError::new(field, problem));
            assert_eq!(read(body), Err(expected), "{body}");
        }
        let many = serde_json::json!({ "text": vec!["a"; 2049] }).to_string();
        let problem = FieldError::new("text", "has 2049 texts, the maximum is 2048");
        assert_eq!(read(&many), Err(problem.into()));
        assert!(matches!(read("[1]"), Err(InvalidRequest::Malformed(_))));
        assert!(matches!(read("{"), Err(InvalidRequest::Malformed(_))));
    }

    #[test]
    fn the_error_of_a_text_has_its_position() {
        let error = TextError::Empty { position: 1 };
        let list = read(r#"{"text": ["a", ""]}"#).unwrap();
        assert_eq!(
            list.field_error(&error).to_string(),
            "text[1] has no tokens"
        );
        let one = read(r#"{"text": ""}"#).unwrap();
        let error = TextError::NoPair { position: 0 };
        let expected = "text needs a second text: the field text_pair";
        assert_eq!(one.field_error(&error).to_string(), expected);
    }
}
