//! Schemas of bodies, with examples.

mod compatible;
mod v2;

use serde_json::{Value, json};

use super::schema::{boolean, list, number, object, of, one_or_many, string, with_options};

/// All schemas, by their names.
pub(super) fn all() -> Value {
    let mut all = serde_json::Map::new();
    for part in [
        predict(),
        v1(),
        compatible::schemas(),
        v2::schemas(),
        server(),
    ] {
        if let Value::Object(schemas) = part {
            all.extend(schemas);
        }
    }
    all.into()
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
