//! The API server and the operator fill in the same defaults.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};
use serde_json::{Value, json};
use springtide_api::{
    ModelService,
    autoscaling::{DEFAULT_KEDA_MAX_REPLICAS, DEFAULT_MAX_REPLICAS, DEFAULT_MIN_REPLICAS},
    targets::Targets,
};

use crate::{minimal, minimal_with, schema};

/// Fills defaults in as an API server does: from the outside to the inside.
fn fill_in(schema: &JSONSchemaProps, value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        for (name, property) in schema.properties.iter().flatten() {
            if let Some(default) = &property.default {
                object.entry(name).or_insert_with(|| default.0.clone());
            }
            if let Some(value) = object.get_mut(name) {
                fill_in(property, value);
            }
        }
    }
    if let (Some(items), Some(JSONSchemaPropsOrArray::Schema(item))) =
        (value.as_array_mut(), &schema.items)
    {
        items.iter_mut().for_each(|value| fill_in(item, value));
    }
}

fn filled_in(mut model_service: Value) -> Value {
    fill_in(&schema(), &mut model_service);
    model_service["spec"].take()
}

fn parsed(model_service: Value) -> Value {
    let model_service: ModelService = serde_json::from_value(model_service).unwrap();
    serde_json::to_value(model_service.spec).unwrap()
}

#[test]
fn a_minimal_spec_gets_the_same_defaults_from_both() {
    assert_eq!(filled_in(minimal()), parsed(minimal()));
}

#[test]
fn a_partly_filled_spec_gets_the_same_defaults_from_both() {
    let partly = minimal_with(json!({"spec": {
        "server": {
            "batching": {"maxBatchRows": 8},
            "resources": {"requests": {"cpu": "1"}, "limits": {"nvidia.com/gpu": "1"}},
        },
        "pod": {
            "tolerations": [{"operator": "Exists"}],
            "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [],
            "volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1Gi"}}],
        },
        "autoscaling": {
            "engine": "KEDA",
            "targets": {"queueSize": 5},
            "behavior": {"scaleDown": {"selectPolicy": "Disabled", "tolerance": "50m"}},
            "schedules": [{
                "name": "day", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "minReplicas": 4,
            }],
            "keda": {"authenticationRef": {"name": "prometheus"}},
        },
    }}));
    assert_eq!(filled_in(partly.clone()), parsed(partly));
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let spec = filled_in(minimal());
    assert_eq!(
        spec["server"],
        json!({
            "imagePullPolicy": "IfNotPresent",
            "executionProvider": "CPU",
            "batching": {
                "mode": "Auto", "policy": "WorkConserving", "maxBatchRows": 32,
                "maxWaitMilliseconds": 50,
            },
            "startupTimeoutSeconds": 300,
            "maxQueueRows": 1024,
            "requestTimeoutMilliseconds": 5000,
            // What is left out follows what is set, which no default of a schema can.
            "resources": {},
        })
    );
    assert_eq!(spec["pod"], json!({"serviceAccountName": "default"}));
    // Targets and behaviour stay empty: the preset and the operator know the contract's.
    assert_eq!(
        spec["autoscaling"],
        json!({
            "engine": "Auto",
            "targets": {},
            "behavior": {"preset": "FastUpSlowDown", "scaleUp": {}, "scaleDown": {}},
        })
    );
}

#[test]
fn descriptions_name_the_defaults_that_the_operator_fills_in() {
    let fields = schema().properties.unwrap();
    let autoscaling = &fields["spec"].properties.as_ref().unwrap()["autoscaling"];
    let description = |field: &str| {
        let fields = autoscaling.properties.as_ref().unwrap();
        fields[field].description.clone().unwrap()
    };
    let min = format!("Default: {DEFAULT_MIN_REPLICAS}");
    assert!(description("minReplicas").contains(&min), "{min}");
    let max = format!(
        "Default: {DEFAULT_KEDA_MAX_REPLICAS} with `engine: KEDA`, otherwise {DEFAULT_MAX_REPLICAS}"
    );
    assert!(description("maxReplicas").contains(&max), "{max}");
    let targets = description("targets");
    for (signal, target) in Targets::defaults(true).iter() {
        let default = format!("`{}` {target}", signal.as_str());
        assert!(targets.contains(&default), "{default}: {targets}");
    }
}
