//! What the CustomResourceDefinition accepts, refuses and fills in.

// Clippy takes only functions with #[test] for tests, not their helpers.
#![allow(clippy::unwrap_used)]

mod defaults;
mod rules;
mod schema;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Value, json};

/// The schema of the CRD's only version.
fn schema() -> JSONSchemaProps {
    let mut versions = springtide_api::crd().spec.versions;
    assert_eq!(versions.len(), 1);
    versions
        .remove(0)
        .schema
        .unwrap()
        .open_api_v3_schema
        .unwrap()
}

/// A ModelService with as little in it as possible.
fn minimal() -> Value {
    json!({
        "apiVersion": "serving.springtide.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "iris", "namespace": "default"},
        "spec": {"model": {"uri": "configMap://iris/model.onnx"}},
    })
}

/// [`minimal`] with `patch` merged into it, object by object.
fn minimal_with(patch: Value) -> Value {
    let mut model_service = minimal();
    merge(&mut model_service, patch);
    model_service
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}
