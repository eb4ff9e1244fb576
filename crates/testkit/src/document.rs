//! Writes and preconditions of objects as JSON documents.

use kube::core::Status;
use serde_json::{Value, json};

use crate::{
    errors::{describe, failure},
    resource::Key,
};

/// Whether finalizers delay the deletion of the object.
pub(crate) fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|finalizers| !finalizers.is_empty())
}

/// Sets the default 1 in a Deployment without `spec.replicas`, also after its field was dropped.
pub(crate) fn default_replicas(key: &Key, value: &mut Value) {
    if key.resource.kind == "Deployment"
        && let Some(spec) = value["spec"].as_object_mut()
    {
        spec.entry("replicas").or_insert(json!(1));
    }
}

/// Overwrites `live` with the parts of `value` that this endpoint may write, without the fields that the server sets.
pub(crate) fn overlay(live: &mut Value, value: Value, part: Option<&str>) {
    let Value::Object(mut value) = value else {
        return;
    };
    if let Some(part) = part {
        live[part] = value.remove(part).unwrap_or_default();
        return;
    }
    let status = live.get("status").cloned();
    let mut metadata = value.remove("metadata").unwrap_or_else(|| json!({}));
    for kept in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
    ] {
        metadata[kept] = live["metadata"][kept].clone();
    }
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("managedFields");
        metadata.retain(|_, field| !field.is_null());
    }
    let (api_version, kind) = (live["apiVersion"].clone(), live["kind"].clone());
    value.retain(|name, field| name != "status" && !field.is_null());
    *live = Value::Object(value);
    live["apiVersion"] = api_version;
    live["kind"] = kind;
    live["metadata"] = metadata;
    if let Some(status) = status {
        live["status"] = status;
    }
}

/// Applies a JSON merge patch (RFC 7386).
pub(crate) fn merge(live: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *live = patch.clone();
        return;
    };
    if !live.is_object() {
        *live = json!({});
    }
    if let Some(fields) = live.as_object_mut() {
        for (name, value) in patch {
            if value.is_null() {
                fields.remove(name);
            } else {
                merge(fields.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}

/// Rejects a write whose resource version is not the current one.
pub(crate) fn check_version(key: &Key, live: &Value, expected: &Value) -> Result<(), Box<Status>> {
    if expected.is_null() || *expected == live["metadata"]["resourceVersion"] {
        return Ok(());
    }
    let message = format!(
        "Operation cannot be fulfilled on {}: the object has been modified",
        describe(key)
    );
    Err(failure(409, "Conflict", &message))
}

/// Rejects a write with the UID of another object of the same name.
pub(crate) fn check_uid(key: &Key, live: &Value, expected: &Value) -> Result<(), Box<Status>> {
    if expected.is_null() || *expected == live["metadata"]["uid"] {
        return Ok(());
    }
    let message = format!(
        "Precondition failed on {}: UID in precondition: {expected}",
        describe(key)
    );
    Err(failure(409, "Conflict", &message))
}
