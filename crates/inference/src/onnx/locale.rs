//! Locales of nodes that change the case of text.
//!
//! `StringNormalizer` needs a locale of the operating system, by default `en_US.UTF-8`. Where it isn't installed,
//! ONNX Runtime rejects the model or each of its runs. The locale is used only for the case of characters
//! ([string_normalizer.cc](https://github.com/microsoft/onnxruntime/blob/v1.24.4/onnxruntime/core/providers/cpu/text/string_normalizer.cc)),
//! and for those `C.UTF-8` and `en_US` of the GNU C library have the same tables: both include its `i18n_ctype`. A
//! comparison of all code points from 0 to 0x10FFFF with glibc 2.36 found no difference. Other languages differ,
//! such as Turkish, so their locales aren't replaced.

use std::collections::BTreeSet;

use super::model_file::{CHANGES_CASE, FileError};
use super::rewrite::{Message, Value, fields, push_field, push_number_field, rewrite};

/// Locales with the letters of `en_US`. The first is part of the GNU C library. The other replaces spellings that the
/// C library doesn't know.
pub(super) const SUBSTITUTES: [&str; 2] = ["C.UTF-8", DEFAULT];

/// Locale of nodes that name none.
const DEFAULT: &str = "en_US.UTF-8";

/// Spellings of American English in models.
const AMERICAN: [&str; 4] = [DEFAULT, "en_US.utf8", "en_US", "en-US"];

/// `AttributeProto.type` of a string.
const STRING: u64 = 3;

/// `TensorProto.DataType` of strings.
const ELEMENT_STRING: u64 = 8;

/// Whether [`SUBSTITUTES`] have the letters of a locale.
pub(super) fn is_american(locale: &str) -> bool {
    AMERICAN.contains(&locale)
}

/// The locales that a model needs.
///
/// # Errors
/// When the bytes are no model.
pub(super) fn wanted(model: &[u8]) -> Result<BTreeSet<String>, FileError> {
    let mut wanted = BTreeSet::new();
    rewrite(model, &mut |kind, message| {
        if kind == Message::Node
            && let Some(normalizer) = Normalizer::read(message)?
            && normalizer.uses_case
        {
            wanted.insert(String::from_utf8_lossy(normalizer.locale).into_owned());
        }
        Ok(None)
    })?;
    Ok(wanted)
}

/// The model with a substitute for American English. None where no node needs that.
///
/// # Errors
/// When the bytes are no model.
pub(super) fn with_substitute(
    model: &[u8],
    substitute: &str,
) -> Result<Option<Vec<u8>>, FileError> {
    rewrite(model, &mut |kind, node| {
        let is_replaced = kind == Message::Node
            && Normalizer::read(node)?.is_some_and(|normalizer| {
                std::str::from_utf8(normalizer.locale).is_ok_and(is_american)
            });
        if is_replaced {
            with_locale(node, substitute).map(Some)
        } else {
            Ok(None)
        }
    })
}

/// A model that ONNX Runtime accepts only where a locale is installed.
pub(super) fn test_model(locale: &str) -> Vec<u8> {
    let mut node = Vec::new();
    push_field(&mut node, 1, b"x");
    push_field(&mut node, 2, b"y");
    push_field(&mut node, 4, CHANGES_CASE.as_bytes());
    push_text_attribute(&mut node, "case_change_action", "LOWER");
    push_text_attribute(&mut node, "locale", locale);
    let mut graph = Vec::new();
    push_field(&mut graph, 1, &node);
    push_field(&mut graph, 2, b"locale");
    push_field(&mut graph, 11, &texts("x"));
    push_field(&mut graph, 12, &texts("y"));
    let mut opset = Vec::new();
    push_number_field(&mut opset, 2, 17);
    let mut model = Vec::new();
    push_number_field(&mut model, 1, 8);
    push_field(&mut model, 7, &graph);
    push_field(&mut model, 8, &opset);
    model
}

/// A `ValueInfoProto` of strings without a shape.
fn texts(name: &str) -> Vec<u8> {
    let mut element = Vec::new();
    push_number_field(&mut element, 1, ELEMENT_STRING);
    let mut tensor = Vec::new();
    push_field(&mut tensor, 1, &element);
    let mut port = Vec::new();
    push_field(&mut port, 1, name.as_bytes());
    push_field(&mut port, 2, &tensor);
    port
}

fn push_text_attribute(node: &mut Vec<u8>, name: &str, text: &str) {
    let mut attribute = Vec::new();
    push_field(&mut attribute, 1, name.as_bytes());
    push_field(&mut attribute, 4, text.as_bytes());
    push_number_field(&mut attribute, 20, STRING);
    push_field(node, 5, &attribute);
}

/// A `StringNormalizer`.
struct Normalizer<'a> {
    locale: &'a [u8],
    /// Whether it changes or ignores the case of text.
    uses_case: bool,
}

impl<'a> Normalizer<'a> {
    /// None for other nodes.
    fn read(node: &'a [u8]) -> Result<Option<Self>, FileError> {
        // The last of repeated fields counts.
        let (mut op_type, mut domain) = (&b""[..], &b""[..]);
        let mut locale = DEFAULT.as_bytes();
        let (mut action, mut is_case_sensitive) = (&b"NONE"[..], false);
        for field in fields(node) {
            let field = field?;
            match (field.number, field.value) {
                (4, Value::Bytes(text)) => op_type = text,
                (7, Value::Bytes(text)) => domain = text,
                (5, Value::Bytes(attribute)) => {
                    let Attribute { name, text, number } = Attribute::read(attribute)?;
                    match name {
                        b"locale" => locale = text,
                        b"case_change_action" => action = text,
                        b"is_case_sensitive" => is_case_sensitive = number != 0,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        let is_one = op_type == CHANGES_CASE.as_bytes() && matches!(domain, b"" | b"ai.onnx");
        Ok(is_one.then_some(Self {
            locale,
            uses_case: action != b"NONE" || !is_case_sensitive,
        }))
    }
}

/// Parsed fields of an `AttributeProto`.
struct Attribute<'a> {
    name: &'a [u8],
    text: &'a [u8],
    number: u64,
}

impl<'a> Attribute<'a> {
    fn read(attribute: &'a [u8]) -> Result<Self, FileError> {
        let mut read = Self {
            name: b"",
            text: b"",
            number: 0,
        };
        for field in fields(attribute) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Bytes(name)) => read.name = name,
                (4, Value::Bytes(text)) => read.text = text,
                (3, Value::Number(number)) => read.number = number,
                _ => {}
            }
        }
        Ok(read)
    }
}

/// The node with another locale.
fn with_locale(node: &[u8], locale: &str) -> Result<Vec<u8>, FileError> {
    let mut rebuilt = Vec::new();
    for field in fields(node) {
        let field = field?;
        let is_locale = match field.value {
            Value::Bytes(attribute) if field.number == 5 => {
                Attribute::read(attribute)?.name == b"locale"
            }
            _ => false,
        };
        if !is_locale {
            rebuilt.extend_from_slice(field.whole);
        }
    }
    push_text_attribute(&mut rebuilt, "locale", locale);
    Ok(rebuilt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64, content: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        push_field(&mut message, number, content);
        message
    }

    fn attribute(name: &str, value: &[u8]) -> Vec<u8> {
        let mut attribute = [message(1, name.as_bytes()), message(4, value)].concat();
        push_number_field(&mut attribute, 20, STRING);
        message(5, &attribute)
    }

    fn model(op_type: &str, rest: &[Vec<u8>]) -> Vec<u8> {
        let node = [
            message(1, b"x"),
            message(4, op_type.as_bytes()),
            rest.concat(),
        ]
        .concat();
        message(7, &message(1, &node))
    }

    #[test]
    fn american_english_said_or_not_is_replaced() {
        let lower = || attribute("case_change_action", b"LOWER");
        let expected = model(
            "StringNormalizer",
            &[lower(), attribute("locale", b"C.UTF-8")],
        );
        let silent = model("StringNormalizer", &[lower()]);
        assert_eq!(
            with_substitute(&silent, "C.UTF-8").unwrap(),
            Some(expected.clone())
        );
        for spelling in AMERICAN {
            let said = model(
                "StringNormalizer",
                &[lower(), attribute("locale", spelling.as_bytes())],
            );
            assert_eq!(
                with_substitute(&said, "C.UTF-8").unwrap(),
                Some(expected.clone())
            );
        }
        // Its own is not American English any more.
        assert_eq!(with_substitute(&expected, "C.UTF-8").unwrap(), None);
    }

    #[test]
    fn other_languages_other_nodes_and_other_domains_stay() {
        for unchanged in [
            model("StringNormalizer", &[attribute("locale", b"tr_TR.UTF-8")]),
            model("StringNormalizer", &[attribute("locale", b"")]),
            model("Tokenizer", &[attribute("locale", b"en_US")]),
            model("StringNormalizer", &[message(7, b"com.example")]),
        ] {
            assert_eq!(with_substitute(&unchanged, "C.UTF-8").unwrap(), None);
        }
    }

    #[test]
    fn a_locale_is_wanted_where_case_matters() {
        let sensitive = |value| {
            let mut attribute = message(1, b"is_case_sensitive");
            push_number_field(&mut attribute, 3, value);
            message(5, &attribute)
        };
        let turkish = || attribute("locale", b"tr_TR.UTF-8");
        let action = |action: &[u8]| attribute("case_change_action", action);
        for (attributes, expected) in [
            (vec![], Some("en_US.UTF-8")),
            (vec![turkish()], Some("tr_TR.UTF-8")),
            (vec![turkish(), sensitive(1)], None),
            (vec![turkish(), sensitive(1), action(b"NONE")], None),
            (
                vec![turkish(), sensitive(0), action(b"NONE")],
                Some("tr_TR.UTF-8"),
            ),
            (
                vec![turkish(), sensitive(1), action(b"UPPER")],
                Some("tr_TR.UTF-8"),
            ),
        ] {
            let wanted = wanted(&model("StringNormalizer", &attributes)).unwrap();
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            assert_eq!(wanted, Vec::from_iter(expected), "{attributes:?}");
        }
        assert!(
            wanted(&model("Tokenizer", &[turkish()]))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_test_model_wants_its_locale() {
        let expected = BTreeSet::from(["fr_FR.UTF-8".to_owned()]);
        assert_eq!(wanted(&test_model("fr_FR.UTF-8")).unwrap(), expected);
    }
}
