//! Bodies of the Open Inference Protocol.

use serde_json::{Value, json};
use springtide_contract::task::Task;

use crate::openapi::schema::{boolean, integer, list, object, of, string};

/// The schemas, by their names.
pub(super) fn schemas() -> Value {
    let shape = list(integer());
    json!({
        "ServerMetadata": object(
            &["name", "version", "extensions"],
            json!({ "name": string(), "version": string(), "extensions": list(string()) }),
            Value::Null,
        ),
        "Live": object(&["live"], json!({ "live": boolean() }), json!({ "live": true })),
        "Ready": object(&["ready"], json!({ "ready": boolean() }), json!({ "ready": true })),
        "ModelReady": object(
            &["name", "ready"],
            json!({ "name": string(), "ready": boolean() }),
            json!({ "name": "iris", "ready": true }),
        ),
        "TensorMetadata": object(
            &["name", "datatype", "shape"],
            json!({ "name": string(), "datatype": of("Datatype"), "shape": shape }),
            json!({ "name": "features", "datatype": "FP32", "shape": [-1, 4] }),
        ),
        "Datatype": { "type": "string", "enum": [
            "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
            "FP16", "BF16", "FP32", "FP64", "BYTES",
        ] },
        "ModelMetadata": object(
            &["name", "versions", "platform", "inputs", "outputs", "task"],
            json!({
                "name": string(), "versions": list(string()), "platform": string(),
                "inputs": list(of("TensorMetadata")), "outputs": list(of("TensorMetadata")),
                "task": { "enum": Task::ALL.iter().map(|task| task.name()).collect::<Vec<_>>() },
                "columns": list(object(
                    &["name", "datatype", "width"],
                    json!({ "name": string(), "datatype": string(), "width": integer() }),
                    Value::Null,
                )),
                "classes": list(string()),
                "max_tokens": integer(),
            }),
            json!({
                "name": "iris", "versions": ["1"], "platform": "onnxruntime_onnx",
                "inputs": [{ "name": "features", "datatype": "FP32", "shape": [-1, 4] }],
                "outputs": [{ "name": "label", "datatype": "INT64", "shape": [-1] }],
                "task": "tabular",
                "columns": [{ "name": "features", "datatype": "float32", "width": 4 }],
            }),
        ),
        "ModelConfig": { "type": "object", "description": "Triton's ModelConfig" },
        "ModelStatistics": object(
            &["model_stats"],
            json!({ "model_stats": list(json!({ "type": "object" })) }),
            Value::Null,
        ),
        "InferRequest": object(
            &["inputs"],
            json!({
                "id": string(),
                "parameters": { "type": "object" },
                "inputs": list(of("Tensor")),
                "outputs": list(object(
                    &["name"],
                    json!({ "name": string(), "parameters": { "type": "object" } }),
                    Value::Null,
                )),
            }),
            json!({ "inputs": [{
                "name": "features", "shape": [1, 4], "datatype": "FP32",
                "data": [5.1, 3.5, 1.4, 0.2],
            }] }),
        ),
        "Tensor": object(
            &["name", "shape", "datatype"],
            json!({
                "name": string(), "shape": shape, "datatype": of("Datatype"),
                "parameters": { "type": "object" }, "data": { "type": "array", "items": {} },
            }),
            Value::Null,
        ),
        "InferResponse": object(
            &["model_name", "model_version", "outputs"],
            json!({
                "model_name": string(), "model_version": string(), "id": string(),
                "outputs": list(of("Tensor")),
            }),
            json!({ "model_name": "iris", "model_version": "1", "outputs": [
                { "name": "label", "datatype": "INT64", "shape": [1], "data": [0] },
            ] }),
        ),
        "IndexRequest": object(
            &[],
            json!({ "ready": { "type": "boolean", "default": false } }),
            json!({ "ready": true }),
        ),
        "Index": list(object(
            &["name", "version", "state", "reason"],
            json!({
                "name": string(), "version": string(), "state": string(), "reason": string(),
            }),
            json!({ "name": "iris", "version": "1", "state": "READY", "reason": "" }),
        )),
        "V2Error": object(
            &["error"],
            json!({ "error": string() }),
            json!({ "error": "the model is being loaded" }),
        ),
    })
}
