//! Bodies of embeddings and reranking, in the protocols of `OpenAI`, Cohere and Text Embeddings Inference.

use serde_json::{Value, json};

use crate::openapi::schema::{integer, list, number, object, one_or_many, string};

/// The schemas, by their names.
pub(super) fn schemas() -> Value {
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
