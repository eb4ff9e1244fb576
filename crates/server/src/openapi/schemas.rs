//! Schemas of bodies, with examples.

use serde_json::{Value, json};

/// All schemas, by their names.
pub(super) fn all() -> Value {
    let mut all = serde_json::Map::new();
    for part in [predict(), v1(), compatible(), v2(), server()] {
        if let Value::Object(schemas) = part {
            all.extend(schemas);
        }
    }
    all.into()
}

/// An object, `required` being the names of its required properties. The example may be null.
fn object(required: &[&str], properties: Value, example: Value) -> Value {
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

fn list(items: Value) -> Value {
    let mut schema = json!({ "type": "array" });
    schema["items"] = items;
    schema
}

fn of(schema: &str) -> Value {
    super::reference(schema)
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn integer() -> Value {
    json!({ "type": "integer" })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

/// A value, or a list of them for a list of rows.
fn one_or_many(item: &Value) -> Value {
    json!({ "anyOf": [item, { "type": "array", "items": item }] })
}

/// Properties with the options of a request.
fn with_options(mut properties: Value) -> Value {
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

fn predict() -> Value {
    let confidence = json!({ "type": ["number", "null"], "minimum": 0, "maximum": 1 });
    let probabilities = json!({ "type": "object", "additionalProperties": number() });
    json!({
        "PredictRequest": {
            "description": "the fields depend on the task of the model",
            "anyOf": [
                of("FeaturesRequest"), of("RowsRequest"), of("ColumnsRequest"), of("TextRequest"),
                of("ImageRequest"),
            ],
        },
        "FeaturesRequest": object(
            &["features"],
            with_options(json!({ "features": {
                "type": "array", "items": {}, "minItems": 1,
                "description": "the values of a model with one input: one row, or a list of rows",
            } })),
            json!({ "features": [5.1, 3.5, 1.4, 0.2], "probabilities": true }),
        ),
        "RowsRequest": object(
            &["rows"],
            with_options(json!({ "rows": list(json!({ "type": "object" })) })),
            json!({ "rows": [{ "age": 36.5, "sex": "male" }] }),
        ),
        "ColumnsRequest": object(
            &["columns"],
            with_options(json!({ "columns": {
                "type": "object", "additionalProperties": { "type": "array", "items": {} },
            } })),
            json!({ "columns": { "age": [36.5], "sex": ["male"] } }),
        ),
        "TextRequest": object(
            &["text"],
            with_options(json!({
                "text": one_or_many(&string()),
                "text_pair": one_or_many(&string()),
            })),
            json!({ "text": "The tide rises, the tide falls." }),
        ),
        "ImageRequest": object(
            &["image"],
            with_options(json!({ "image": one_or_many(&json!({
                "type": "string", "contentEncoding": "base64",
                "description": "a JPEG, PNG or WebP file as base64, or a data URL",
            })) })),
            Value::Null,
        ),
        "ImageForm": object(
            &["image"],
            with_options(json!({ "image": list(json!({})) })),
            Value::Null,
        ),
        "PredictResponse": object(
            &["prediction", "confidence", "latency_ms", "batch_size"],
            json!({
                "prediction": { "description":
                    "a class, a number, an embedding, or entities; of a list of rows, a list" },
                "confidence": one_or_many(&confidence),
                "probabilities": one_or_many(&probabilities),
                "truncated": one_or_many(&boolean()),
                "latency_ms": number(),
                "batch_size": { "type": "integer", "minimum": 1 },
                "request_id": string(),
            }),
            json!({
                "prediction": 0, "confidence": 0.99, "latency_ms": 0.4, "batch_size": 1,
                "probabilities": { "0": 0.99, "1": 0.01, "2": 0.0 },
            }),
        ),
        "Error": object(
            &["error"],
            json!({ "error": object(
                &["code", "message"],
                json!({
                    "code": string(), "message": string(),
                    "field": { "type": "string", "description": "the invalid field" },
                }),
                Value::Null,
            ) }),
            json!({ "error": {
                "code": "invalid_field", "message": "features has 3 numbers, the model takes 4",
                "field": "features",
            } }),
        ),
    })
}

fn v1() -> Value {
    json!({
        "V1Models": object(
            &["models"],
            json!({ "models": list(string()) }),
            json!({ "models": ["iris"] }),
        ),
        "V1Request": object(
            &["instances"],
            with_options(json!({ "instances": list(json!({})) })),
            json!({ "instances": [[5.1, 3.5, 1.4, 0.2]] }),
        ),
        "V1Response": object(
            &["predictions"],
            json!({ "predictions": list(json!({})) }),
            json!({ "predictions": [0] }),
        ),
        "V1Error": object(
            &["error"],
            json!({ "error": string() }),
            json!({ "error": "the model is being loaded" }),
        ),
    })
}

fn compatible() -> Value {
    let embedding = json!({ "anyOf": [list(number()), string()] });
    let score = number();
    json!({
        "EmbeddingsRequest": object(
            &["model", "input"],
            json!({
                "model": string(),
                "input": one_or_many(&string()),
                "encoding_format": { "enum": ["float", "base64"], "default": "float" },
                "dimensions": { "type": "integer", "minimum": 1 },
            }),
            json!({ "model": "minilm", "input": "The tide rises, the tide falls." }),
        ),
        "EmbeddingsResponse": object(
            &["object", "data", "model", "usage"],
            json!({
                "object": { "const": "list" },
                "data": list(object(
                    &["object", "index", "embedding"],
                    json!({
                        "object": { "const": "embedding" }, "index": integer(),
                        "embedding": embedding,
                    }),
                    Value::Null,
                )),
                "model": string(),
                "usage": object(
                    &["prompt_tokens", "total_tokens"],
                    json!({ "prompt_tokens": integer(), "total_tokens": integer() }),
                    Value::Null,
                ),
            }),
            json!({
                "object": "list", "model": "minilm",
                "data": [{ "object": "embedding", "index": 0, "embedding": [0.1, -0.2] }],
                "usage": { "prompt_tokens": 10, "total_tokens": 10 },
            }),
        ),
        "OpenAiError": object(
            &["error"],
            json!({ "error": object(
                &["message", "type", "param", "code"],
                json!({
                    "message": string(), "type": string(), "code": string(),
                    "param": { "type": ["string", "null"] },
                }),
                Value::Null,
            ) }),
            json!({ "error": {
                "message": "there is no model x", "type": "invalid_request_error", "param": null,
                "code": "unknown_model",
            } }),
        ),
        "RerankRequest": object(
            &["query", "documents"],
            json!({
                "model": string(),
                "query": string(),
                "documents": list(json!({ "anyOf": [
                    string(),
                    object(&["text"], json!({ "text": string() }), Value::Null),
                ] })),
                "top_n": { "type": "integer", "minimum": 1 },
                "return_documents": { "type": "boolean", "default": false },
            }),
            json!({ "query": "When is high tide?", "documents": ["At noon.", "It is blue."] }),
        ),
        "RerankResponse": object(
            &["results", "meta"],
            json!({
                "results": list(object(
                    &["index", "relevance_score"],
                    json!({
                        "index": integer(), "relevance_score": score,
                        "document": object(&["text"], json!({ "text": string() }), Value::Null),
                    }),
                    Value::Null,
                )),
                "meta": { "type": "object" },
            }),
            json!({
                "results": [{ "index": 0, "relevance_score": 0.98 }],
                "meta": { "api_version": { "version": "2" } },
            }),
        ),
        "TeiRerankRequest": object(
            &["query", "texts"],
            json!({
                "query": string(), "texts": list(string()),
                "raw_scores": { "const": false },
                "return_text": { "type": "boolean", "default": false },
            }),
            json!({ "query": "When is high tide?", "texts": ["At noon.", "It is blue."] }),
        ),
        "TeiRerankResponse": list(object(
            &["index", "score"],
            json!({ "index": integer(), "score": score, "text": string() }),
            json!({ "index": 0, "score": 0.98 }),
        )),
    })
}

fn v2() -> Value {
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
            &["name", "versions", "platform", "inputs", "outputs"],
            json!({
                "name": string(), "versions": list(string()), "platform": string(),
                "inputs": list(of("TensorMetadata")), "outputs": list(of("TensorMetadata")),
            }),
            Value::Null,
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

fn server() -> Value {
    json!({
        "Status": object(
            &["status"],
            json!({ "status": string() }),
            json!({ "status": "ok" }),
        ),
        "ServerStatus": object(
            &["models"],
            json!({
                "models": list(object(
                    &["name", "version", "batching"],
                    json!({
                        "name": string(), "version": string(),
                        "sha256": { "type": ["string", "null"] },
                        "batching": { "type": "object" },
                    }),
                    Value::Null,
                )),
                "memory": { "type": ["object", "null"] },
            }),
            Value::Null,
        ),
        "Object": { "type": "object" },
    })
}
