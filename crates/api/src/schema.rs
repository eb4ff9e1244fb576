//! Bounded schemas of fields whose type is Kubernetes' own, which has no bounds.

#![allow(
    clippy::needless_pass_by_value,
    reason = "parts of a schema are written where they are used"
)]

use schemars::{Schema, json_schema};
use serde_json::{Value, json};

/// Name of an object, as most kinds have it
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names>).
pub(crate) const OBJECT_NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// Key of a label or an annotation, with or without a prefix
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>).
pub(crate) const QUALIFIED_NAME: &str =
    "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

/// Key of a ConfigMap or a Secret.
pub(crate) const KEY: &str = "^[-._a-zA-Z0-9]+$";

/// A field of an object.
pub(crate) struct Field {
    name: &'static str,
    schema: Value,
    is_required: bool,
}

impl Field {
    /// One that has to be set.
    pub(crate) fn required(mut self) -> Self {
        self.is_required = true;
        self
    }
}

/// A field with a schema and what it means.
pub(crate) fn field(name: &'static str, description: &str, mut schema: Value) -> Field {
    schema["description"] = json!(description);
    Field {
        name,
        schema,
        is_required: false,
    }
}

/// The name of an object of this kind, which a pod can't do without.
pub(crate) fn name_of(name: &'static str, kind: &str) -> Field {
    let description = format!("Name of the {kind}, in the namespace of the ModelService.");
    field(name, &description, matching(OBJECT_NAME, 253)).required()
}

/// Whether pods do without the object.
pub(crate) fn optional() -> Field {
    field(
        "optional",
        "Whether pods start if the object or its key is missing.",
        boolean(),
    )
}

/// An object with these fields and no others.
pub(crate) fn object(fields: impl IntoIterator<Item = Field>) -> Value {
    let mut required = Vec::new();
    let properties = fields
        .into_iter()
        .map(|field| {
            if field.is_required {
                required.push(field.name);
            }
            (field.name.to_owned(), field.schema)
        })
        .collect::<serde_json::Map<_, _>>();
    let mut object = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// A text of `most` characters at most.
pub(crate) fn text(most: u32) -> Value {
    json!({"type": "string", "maxLength": most})
}

/// A text of one to `most` characters.
pub(crate) fn filled_text(most: u32) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": most})
}

/// A text that a pattern describes.
pub(crate) fn matching(pattern: &str, most: u32) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": most, "pattern": pattern})
}

/// One of these texts.
pub(crate) fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

/// A whole number between two.
pub(crate) fn integer(least: i64, most: i64) -> Value {
    json!({"type": "integer", "format": "int32", "minimum": least, "maximum": most})
}

/// Yes or no.
pub(crate) fn boolean() -> Value {
    json!({"type": "boolean"})
}

/// A list that is one field.
pub(crate) fn list(most: u32, item: Value) -> Value {
    json!({"type": "array", "maxItems": most, "items": item, "x-kubernetes-list-type": "atomic"})
}

/// A list whose items are told apart by these fields.
pub(crate) fn keyed_list(keys: &[&str], most: u32, item: Value) -> Value {
    json!({
        "type": "array", "maxItems": most, "items": item,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys,
    })
}

/// A map of `most` texts to values at most.
pub(crate) fn map(most: u32, value: Value) -> Value {
    json!({"type": "object", "maxProperties": most, "additionalProperties": value})
}

/// A schema with rules in CEL and what the refusal says.
pub(crate) fn with_rules<const N: usize>(mut schema: Value, rules: [(String, String); N]) -> Value {
    let rules = rules.map(|(rule, message)| json!({"rule": rule, "message": message}));
    schema["x-kubernetes-validations"] = Value::from(rules.to_vec());
    schema
}

/// A list of texts as CEL writes it. The texts must have no quotes and backslashes.
pub(crate) fn cel_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| format!("'{text}'")).collect();
    format!("[{}]", texts.join(", "))
}

/// A value that is known to be an object, as a schema.
pub(crate) fn schema(value: Value) -> Schema {
    match value {
        Value::Object(fields) => Schema::from(fields),
        _ => json_schema!({}),
    }
}
