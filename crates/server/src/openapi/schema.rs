//! Parts of JSON schemas.

use serde_json::{Value, json};

/// An object, `required` being the names of its required properties. The example may be null.
pub(super) fn object(required: &[&str], properties: Value, example: Value) -> Value {
    let mut schema = json!({ "type": "object" });
    schema["properties"] = properties;
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !example.is_null() {
        schema["examples"] = vec![example].into();
    }
    schema
}

/// A list.
pub(super) fn list(items: Value) -> Value {
    let mut schema = json!({ "type": "array" });
    schema["items"] = items;
    schema
}

/// A reference to a schema by its name.
pub(super) fn of(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// A text.
pub(super) fn string() -> Value {
    json!({ "type": "string" })
}

/// A number.
pub(super) fn number() -> Value {
    json!({ "type": "number" })
}

/// An integer.
pub(super) fn integer() -> Value {
    json!({ "type": "integer" })
}

/// True or false.
pub(super) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

/// A value, or a list of them for a list of rows.
pub(super) fn one_or_many(item: &Value) -> Value {
    json!({ "anyOf": [item, { "type": "array", "items": item }] })
}

/// Properties with the options of a request.
pub(super) fn with_options(mut properties: Value) -> Value {
    properties["request_id"] =
        json!({ "type": "string", "maxLength": 256, "description": "returned" });
    properties["probabilities"] =
        json!({ "type": "boolean", "description": "whether to return the probabilities by class" });
    properties["top_k"] = json!({
        "type": "integer", "minimum": 1,
        "description": "maximum number of probabilities, the highest first",
    });
    properties
}
