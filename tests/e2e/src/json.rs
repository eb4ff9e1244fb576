//! Objects as JSON: merges and comparisons.

use anyhow::{Result, bail};
use serde_json::{Map, Value};

/// Merges `change` into `target` as a JSON merge patch does (RFC 7396): null removes.
pub fn merge(target: &mut Value, change: &Value) {
    let Value::Object(changes) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else {
        return;
    };
    for (name, value) in changes {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

/// Checks that two objects are equal.
///
/// # Errors
///
/// If they are not. The error lists each path at which they differ.
pub fn same(what: &str, got: &Value, want: &Value) -> Result<()> {
    let mut found = Vec::new();
    differences("", got, want, &mut found);
    if found.is_empty() {
        return Ok(());
    }
    bail!("{what} is not as expected:\n  {}", found.join("\n  "))
}

fn differences(path: &str, got: &Value, want: &Value, found: &mut Vec<String>) {
    match (got, want) {
        (Value::Object(got), Value::Object(want)) => {
            let missing = want.keys().filter(|name| !got.contains_key(*name));
            for name in got.keys().chain(missing) {
                let side =
                    |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or(Value::Null);
                differences(&format!("{path}.{name}"), &side(got), &side(want), found);
            }
        }
        (Value::Array(got), Value::Array(want)) if got.len() == want.len() => {
            for (index, (got, want)) in got.iter().zip(want).enumerate() {
                differences(&format!("{path}[{index}]"), got, want, found);
            }
        }
        _ if got == want => {}
        _ => found.push(format!("{path}: {got}, expected {want}")),
    }
}

/// The array at a JSON pointer. Empty if there is none.
#[must_use]
pub fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The text at a JSON pointer. Empty if there is none.
#[must_use]
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The integer at a JSON pointer. 0 if there is none, because Kubernetes omits zeros.
#[must_use]
pub fn number(value: &Value, pointer: &str) -> i64 {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merging_follows_rfc_7396() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "x"});
        merge(
            &mut target,
            &json!({"a": {"b": null, "f": {"g": 3}}, "d": [3], "e": {"h": 1}}),
        );
        assert_eq!(
            target,
            json!({"a": {"c": 2, "f": {"g": 3}}, "d": [3], "e": {"h": 1}})
        );
    }

    #[test]
    fn differences_name_their_paths() {
        let error = same(
            "it",
            &json!({"a": [{"b": 1}], "c": 1, "x": 2}),
            &json!({"a": [{"b": 2}], "c": 1, "d": "y"}),
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "it is not as expected:\n  .a[0].b: 1, expected 2\n  .x: 2, expected null\n  .d: null, expected \"y\""
        );
        assert!(same("it", &json!({"a": [1]}), &json!({"a": [1]})).is_ok());
        assert!(same("it", &json!([1]), &json!([1, 2])).is_err());
    }
}
