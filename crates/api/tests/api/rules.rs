//! The CEL rules, judged here as an API server judges them. What the schema's bounds refuse needs an
//! API server: the end-to-end tests have a table of that.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::core::cel::Validator;
use serde_json::{Value, json};
use springtide_api::ModelService;

use crate::{merge, minimal, minimal_with, schema};

/// Messages of the rules that the ModelService breaks, once defaults are filled in.
fn broken_rules(schema: &JSONSchemaProps, model_service: Value) -> Vec<String> {
    let model_service: ModelService = serde_json::from_value(model_service).unwrap();
    let schema = serde_json::to_value(schema).unwrap();
    let object = serde_json::to_value(model_service).unwrap();
    match Validator::new().validate(&schema, &object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.message).collect(),
    }
}

/// A schedule with `patch` merged into it.
fn schedule(patch: Value) -> Value {
    let mut schedule = json!({
        "name": "day", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "minReplicas": 4,
    });
    merge(&mut schedule, patch);
    json!({"spec": {"autoscaling": {"schedules": [schedule]}}})
}

fn model(uri: &str) -> Value {
    json!({"spec": {"model": {"uri": uri, "sha256": "0f".repeat(32)}}})
}

/// A model whose URI stands in a Secret, with `patch` merged into what names it.
fn secret(patch: Value) -> Value {
    let mut key = json!({"name": "presigned", "key": "iris.uri"});
    merge(&mut key, patch);
    json!({"spec": {"model": {
        "uri": null, "uriFrom": {"secretKeyRef": key}, "sha256": "0f".repeat(32),
    }}})
}

fn prometheus(address: &str) -> Value {
    json!({"spec": {"autoscaling": {"engine": "KEDA", "keda": {"prometheusAddress": address}}}})
}

#[test]
fn good_specs_break_no_rule() {
    let schema = schema();
    let good = [
        minimal(),
        minimal_with(json!({"spec": {"rollout": {"maxSurge": 0}}})),
        minimal_with(json!({"spec": {"rollout": {"maxSurge": "0%", "maxUnavailable": "50%"}}})),
        minimal_with(json!({"spec": {"rollout": {"maxSurge": "25%", "maxUnavailable": 0}}})),
        minimal_with(json!({"metadata": {"name": "a".repeat(54)}})),
        minimal_with(model("configMap://iris/_model-1.onnx")),
        minimal_with(model("pvc://models/a..b/v1/m.onnx")),
        minimal_with(model("https://example.com:8443/iris.onnx")),
        minimal_with(secret(json!({}))),
        minimal_with(model("http://[::1]:8080/iris.onnx")),
        // Every printable character that a URL doesn't have to escape, and some that it should.
        minimal_with(model("https://h/!$%&'()*+,-./09:;=@AZ[\\]^_az|~")),
        minimal_with(prometheus("http://prometheus:9090")),
        minimal_with(prometheus("https://mimir.example.com/prometheus/")),
        minimal_with(prometheus("http://[::1]:9090/select/0/prometheus")),
        minimal_with(json!({"spec": {"replicas": 0, "autoscaling": {"engine": "None"}}})),
        minimal_with(json!({"spec": {"autoscaling": {"minReplicas": 20}}})),
        minimal_with(json!({"spec": {"autoscaling": {"engine": "KEDA", "minReplicas": 50}}})),
        minimal_with(json!({"spec": {"autoscaling": {"minReplicas": 30, "maxReplicas": 30}}})),
        minimal_with(json!({"spec": {"autoscaling": {"engine": "KEDA", "keda": {
            "prometheusAddress": "http://prometheus:9090",
        }}}})),
        minimal_with(json!({"spec": {"autoscaling": {"engine": "Auto", "keda": {}}}})),
        minimal_with(schedule(json!({}))),
        minimal_with(schedule(
            json!({"timezone": "America/Argentina/ComodRivadavia"}),
        )),
        minimal_with(schedule(
            json!({"timezone": "Etc/GMT+12", "start": "*/5 0-6,22 ? JAN MON"}),
        )),
        minimal_with(schedule(json!({"minReplicas": 20}))),
        minimal_with(json!({"spec": {"server": {"resources": {
            "requests": {"cpu": 2, "memory": "2048Mi"}, "limits": {"cpu": "2000m", "memory": "2Gi"},
        }}}})),
    ];
    for model_service in good {
        let text = model_service.to_string();
        assert_eq!(
            broken_rules(&schema, model_service),
            Vec::<String>::new(),
            "{text}"
        );
    }
}

#[test]
fn bad_specs_are_refused_with_the_field_that_is_wrong() {
    let schema = schema();
    let rollout = |rollout: Value| json!({"spec": {"rollout": rollout}});
    let bad = [
        (
            "spec.rollout.maxSurge and spec.rollout.maxUnavailable must not both be 0",
            rollout(json!({"maxSurge": 0, "maxUnavailable": 0})),
        ),
        (
            "spec.rollout.maxSurge and spec.rollout.maxUnavailable must not both be 0",
            rollout(json!({"maxSurge": "0%", "maxUnavailable": 0})),
        ),
        (
            "metadata.name must have",
            json!({"metadata": {"name": "a".repeat(55)}}),
        ),
        (
            "metadata.name must be a DNS-1035",
            json!({"metadata": {"name": "1-iris"}}),
        ),
        (
            "metadata.name must be a DNS-1035",
            json!({"metadata": {"name": "iris.v1"}}),
        ),
        (
            "metadata.name must be a DNS-1035",
            json!({"metadata": {"name": "iris-"}}),
        ),
        ("spec.model.uri must begin", model("s3://bucket/iris.onnx")),
        ("spec.model.uri must begin", model("iris.onnx")),
        (
            "spec.model.uri must be configMap://",
            model("configMap://iris"),
        ),
        (
            "spec.model.uri must be configMap://",
            model("configMap://iris/.."),
        ),
        ("spec.model.uri must be pvc://", model("pvc://models")),
        (
            "spec.model.uri must be pvc://",
            model("pvc://models/../etc/passwd"),
        ),
        ("spec.model.uri must be pvc://", model("pvc://models/a/..")),
        ("spec.model.uri must be pvc://", model("pvc://models//a")),
        (
            "spec.model.uri must be https://",
            model("https://user:password@example.com/iris.onnx"),
        ),
        (
            "spec.model.uri must be https://",
            model("https:///iris.onnx"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/<version>/iris.onnx"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/`iris`.onnx"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/iris.onnx?X-Amz-Signature=0f"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/iris.onnx?"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/{version}"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/\"iris\""),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/iris.onnx#1"),
        ),
        (
            "spec.model.sha256 is required",
            json!({"spec": {"model": {"uri": "https://example.com/x"}}}),
        ),
        (
            "spec.model.sha256 is required",
            json!({"spec": {"model": {
                "uri": null, "uriFrom": {"secretKeyRef": {"name": "presigned", "key": "uri"}},
            }}}),
        ),
        (
            "spec.model must have exactly one",
            json!({"spec": {"model": {"uri": null}}}),
        ),
        (
            "spec.model must have exactly one",
            json!({"spec": {"model": {
                "uriFrom": {"secretKeyRef": {"name": "presigned", "key": "uri"}},
                "sha256": "0f".repeat(32),
            }}}),
        ),
        (
            "spec.model.uriFrom.secretKeyRef.name must",
            secret(json!({"name": "Presigned"})),
        ),
        (
            "spec.model.uriFrom.secretKeyRef.key must",
            secret(json!({"key": "../uri"})),
        ),
        (
            "spec.model.sha256 must be",
            json!({"spec": {"model": {"sha256": "0F".repeat(32)}}}),
        ),
        (
            "spec.model.sha256 must be",
            json!({"spec": {"model": {"sha256": "0f"}}}),
        ),
        (
            "spec.model.name must",
            json!({"spec": {"model": {"name": "-iris"}}}),
        ),
        (
            "spec.replicas is only allowed",
            json!({"spec": {"replicas": 3}}),
        ),
        (
            "spec.replicas is only allowed",
            json!({"spec": {"replicas": 3, "autoscaling": {"engine": "KEDA"}}}),
        ),
        (
            "spec.replicas is required",
            json!({"spec": {"autoscaling": {"engine": "None"}}}),
        ),
        (
            "spec.autoscaling.minReplicas must",
            json!({"spec": {"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}}),
        ),
        (
            "spec.autoscaling.minReplicas must",
            json!({"spec": {"autoscaling": {"minReplicas": 21}}}),
        ),
        (
            "spec.autoscaling.minReplicas must",
            json!({"spec": {"autoscaling": {"engine": "KEDA", "minReplicas": 51}}}),
        ),
        (
            "spec.autoscaling.keda is only allowed",
            json!({"spec": {"autoscaling": {"engine": "HPA", "keda": {}}}}),
        ),
        (
            "spec.autoscaling.schedules is not allowed",
            json!({"spec": {"replicas": 2, "autoscaling": {"engine": "None", "schedules": [{
                "name": "day", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 4,
            }]}}}),
        ),
        (
            "spec.autoscaling.schedules[].minReplicas must",
            schedule(json!({"minReplicas": 21})),
        ),
        (
            "spec.autoscaling.schedules[].start and end must",
            schedule(json!({"end": "0 8 * * 1-5"})),
        ),
        (
            "spec.autoscaling.schedules[].name must",
            schedule(json!({"name": "-day"})),
        ),
        (
            "spec.autoscaling.schedules[].start must",
            schedule(json!({"start": "0 8 * * 1-5 2026"})),
        ),
        (
            "spec.autoscaling.schedules[].start must",
            schedule(json!({"start": "@daily at 8"})),
        ),
        (
            "spec.autoscaling.schedules[].end must",
            schedule(json!({"end": "0 18 * *  *"})),
        ),
        (
            "spec.autoscaling.schedules[].timezone must",
            schedule(json!({"timezone": "../etc/passwd"})),
        ),
        (
            "spec.autoscaling.keda.prometheusAddress must",
            json!({"spec": {"autoscaling": {"engine": "KEDA", "keda": {
                "prometheusAddress": "prometheus:9090",
            }}}}),
        ),
        (
            "spec.server.batching.maxWaitMilliseconds must",
            json!({"spec": {"server": {"requestTimeoutMilliseconds": 50}}}),
        ),
        (
            "spec.server.batching.maxBatchRows must",
            json!({"spec": {"server": {"maxQueueRows": 31}}}),
        ),
        (
            "spec.server.image must",
            json!({"spec": {"server": {"image": "a b"}}}),
        ),
        (
            "spec.server.serviceAccountName must",
            json!({"spec": {"server": {"serviceAccountName": "Models"}}}),
        ),
        (
            "spec.server.resources.requests.cpu must",
            json!({"spec": {"server": {"resources": {"requests": {"cpu": "2001m"}}}}}),
        ),
        (
            "spec.server.resources.requests.memory must",
            json!({"spec": {"server": {"resources": {"limits": {"memory": "500Mi"}}}}}),
        ),
    ];
    let addresses = [
        "http://prometheus:9090/?query=1",
        "http://prometheus:9090/#",
        "http://prometheus:9090/%2e%2e",
        "http://user@prometheus:9090",
        "http://prometheus:9090/a/../b",
        "http://prometheus:9090/..",
        "http://prometheus:9090//",
        "http://prometheus:9090\\",
        "http://prometheus:9090/\u{7f}",
        "http://prometheus:9090\n",
        "http://",
        "file:///etc/passwd",
        "HTTP://prometheus:9090",
    ];
    let addresses = addresses.map(|address| {
        (
            "spec.autoscaling.keda.prometheusAddress must",
            prometheus(address),
        )
    });
    for (message, patch) in bad.into_iter().chain(addresses) {
        let broken = broken_rules(&schema, minimal_with(patch.clone()));
        assert_eq!(broken.len(), 1, "{patch}: {broken:?}");
        assert!(broken[0].starts_with(message), "{patch}: {broken:?}");
    }
}
