//! The JSON schema of the ModelService, for editors and kubeconform: they validate manifests without a cluster.

use anyhow::Context;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use springtide_api::NEVER;

use crate::artifact::first_version;

/// The schema of the first version of the CRD. It rejects unknown fields.
pub(crate) fn json_schema(crd: &CustomResourceDefinition) -> anyhow::Result<Value> {
    let (version, schema) = first_version(crd)?;
    let mut schema = strict(serde_json::to_value(schema).context("write the schema as JSON")?);
    let document = schema
        .as_object_mut()
        .context("the schema isn't an object")?;
    document.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    let properties = document
        .entry("properties")
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .context("the schema's properties aren't an object")?;
    properties.insert(
        "apiVersion".to_owned(),
        json!({"const": format!("{}/{}", crd.spec.group, version)}),
    );
    properties.insert("kind".to_owned(), json!({"const": crd.spec.names.kind}));
    // The CRD doesn't describe the metadata.
    properties.insert("metadata".to_owned(), json!({"type": "object"}));
    document.insert(
        "required".to_owned(),
        json!(["apiVersion", "kind", "metadata", "spec"]),
    );
    Ok(schema)
}

/// Rejects unknown fields, and replaces the extensions of Kubernetes by JSON schema.
fn strict(schema: Value) -> Value {
    let Value::Object(fields) = schema else {
        return schema;
    };
    if fields
        .get("x-kubernetes-validations")
        .and_then(Value::as_array)
        .is_some_and(|rules| rules.iter().any(|rule| rule["rule"] == NEVER))
    {
        return Value::Bool(false);
    }
    let nullable = fields.get("nullable") == Some(&Value::Bool(true));
    let int_or_string = fields.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    let mut strict_fields = fields
        .into_iter()
        .filter(|(name, _)| !name.starts_with("x-kubernetes-"))
        .map(|(name, value)| {
            let value = match name.as_str() {
                "properties" => named(value),
                "items" | "additionalProperties" => strict(value),
                _ => value,
            };
            (name, value)
        })
        .collect::<Map<_, _>>();
    if int_or_string {
        let types = ["integer", "string"].into_iter();
        let types: Vec<_> = types.chain(nullable.then_some("null")).collect();
        strict_fields.insert("type".to_owned(), json!(types));
        strict_fields.remove("anyOf");
        strict_fields.remove("nullable");
    }
    if strict_fields.contains_key("properties") {
        strict_fields
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
    }
    Value::Object(strict_fields)
}

fn named(properties: Value) -> Value {
    match properties {
        Value::Object(properties) => properties
            .into_iter()
            .map(|(name, schema)| (name, strict(schema)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_rejected_except_in_maps() {
        let schema = strict(json!({
            "properties": {
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "cpu": {"x-kubernetes-int-or-string": true},
                "list": {"items": {"properties": {"a": {"type": "string"}}}},
                "limit": {"x-kubernetes-int-or-string": true, "nullable": true},
                "hostPath": {"type": "object", "x-kubernetes-validations": [{"rule": "false"}]},
            },
        }));
        assert_eq!(schema["properties"]["hostPath"], false);
        assert_eq!(
            schema["properties"]["limit"],
            json!({"type": ["integer", "string", "null"]})
        );
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(
            schema["properties"]["labels"]["additionalProperties"]["type"],
            "string"
        );
        assert_eq!(
            schema["properties"]["cpu"],
            json!({"type": ["integer", "string"]})
        );
        assert_eq!(
            schema["properties"]["list"]["items"]["additionalProperties"],
            false
        );
    }
}
