//! Bounded schemas of fields with types of Kubernetes, which have no bounds.

#![allow(
    clippy::needless_pass_by_value,
    reason = "parts of a schema are written where they are used"
)]

use schemars::{Schema, json_schema};
use serde_json::{Value, json};

/// Pattern of the name of an object of most kinds
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names>).
pub(crate) const OBJECT_NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// Pattern of the key of a label or an annotation, with or without a prefix
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>).
pub(crate) const QUALIFIED_NAME: &str =
    "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

/// Pattern of a key of a ConfigMap or a Secret.
pub(crate) const KEY: &str = "^[-._a-zA-Z0-9]+$";

/// A field of an object.
pub(crate) struct Field {
    name: &'static str,
    schema: Value,
    is_required: bool,
}

impl Field {
    /// Makes the field required.
    pub(crate) fn required(mut self) -> Self {
        self.is_required = true;
        self
    }
}

/// An optional field with a schema and a description.
pub(crate) fn field(name: &'static str, description: &str, mut schema: Value) -> Field {
    schema["description"] = json!(description);
    Field {
        name,
        schema,
        is_required: false,
    }
}

/// The required name of an object of a kind.
pub(crate) fn name_of(name: &'static str, kind: &str) -> Field {
    let description = format!("Name of the {kind}, in the namespace of the ModelService.");
    field(name, &description, matching(OBJECT_NAME, 253)).required()
}

/// Whether pods may start without the object.
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

/// A text with a maximum number of characters.
pub(crate) fn text(max: u32) -> Value {
    json!({"type": "string", "maxLength": max})
}

/// A text that isn't empty, with a maximum number of characters.
pub(crate) fn filled_text(max: u32) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": max})
}

/// A text that matches a pattern.
pub(crate) fn matching(pattern: &str, max: u32) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": max, "pattern": pattern})
}

/// One of these texts.
pub(crate) fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

/// An integer with bounds.
pub(crate) fn integer(min: i64, max: i64) -> Value {
    json!({"type": "integer", "format": "int32", "minimum": min, "maximum": max})
}

/// A boolean.
pub(crate) fn boolean() -> Value {
    json!({"type": "boolean"})
}

/// A list that is replaced as a whole.
pub(crate) fn list(max: u32, item: Value) -> Value {
    json!({"type": "array", "maxItems": max, "items": item, "x-kubernetes-list-type": "atomic"})
}

/// A list whose items are identified by these fields.
pub(crate) fn keyed_list(keys: &[&str], max: u32, item: Value) -> Value {
    json!({
        "type": "array", "maxItems": max, "items": item,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys,
    })
}

/// A map with a maximum number of entries.
pub(crate) fn map(max: u32, value: Value) -> Value {
    json!({"type": "object", "maxProperties": max, "additionalProperties": value})
}

/// A schema with CEL rules and their messages.
pub(crate) fn with_rules<const N: usize>(mut schema: Value, rules: [(String, String); N]) -> Value {
    let rules = rules.map(|(rule, message)| json!({"rule": rule, "message": message}));
    schema["x-kubernetes-validations"] = Value::from(rules.to_vec());
    schema
}

/// A CEL list of texts without quotes and backslashes.
pub(crate) fn cel_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| format!("'{text}'")).collect();
    format!("[{}]", texts.join(", "))
}

/// A JSON object as a schema.
pub(crate) fn schema(value: Value) -> Schema {
    match value {
        Value::Object(fields) => Schema::from(fields),
        _ => json_schema!({}),
    }
}
