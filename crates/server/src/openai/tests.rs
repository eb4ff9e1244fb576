use std::num::NonZeroUsize;
use std::time::Duration;

use axum::body::Body;
use serde_json::json;
use springtide_tasks::answer::{Answer, Value};

use super::requests::EncodingFormat;
use super::*;
use crate::http::testing::{AT_ONCE, MODEL, ready_app, send};

fn predictions(values: Vec<Value>) -> Predictions {
    Predictions {
        answers: values.into_iter().map(Answer::of).collect(),
        list: true,
        request_id: None,
        latency: Duration::ZERO,
        batch_rows: 1,
        tokens: 9,
    }
}

#[test]
fn embeddings_are_lists_or_base64() {
    let of = |format, dimensions| {
        let predictions = predictions(vec![Value::Floats(vec![0.5, -1.0])]);
        Embeddings::new(
            predictions,
            "m".to_owned(),
            format,
            NonZeroUsize::new(dimensions),
        )
    };
    let json = serde_json::to_value(of(EncodingFormat::Float, 2).unwrap()).unwrap();
    let expected = json!({
        "object": "list", "model": "m", "usage": {"prompt_tokens": 9, "total_tokens": 9},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}],
    });
    assert_eq!(json, expected);
    let json = serde_json::to_value(of(EncodingFormat::Base64, 0).unwrap()).unwrap();
    assert_eq!(json["data"][0]["embedding"], "AAAAPwAAgL8=");
    let refused = of(EncodingFormat::Float, 1).unwrap_err();
    assert_eq!(refused.to_string(), "dimensions must be 2, the model's own");
}

#[test]
fn the_most_relevant_text_comes_first() {
    let predictions = predictions([0.1, 0.9, 0.9].map(Value::Float).to_vec());
    let texts = ["a", "b", "c"].map(str::to_owned).to_vec();
    let tei = serde_json::to_value(TeiRank::of(&predictions, Some(&texts))).unwrap();
    assert_eq!(tei[0], json!({"index": 1, "score": 0.9_f32, "text": "b"}));
    assert_eq!(tei[2]["index"], 0);
    let top = Ranking::new(&predictions, NonZeroUsize::new(2), Some(&texts));
    let top = serde_json::to_value(top).unwrap();
    let results = top["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    let second = json!({"index": 2, "relevance_score": 0.9_f32, "document": {"text": "c"}});
    assert_eq!(results[1], second);
}

#[tokio::test]
async fn errors_have_the_form_of_the_protocol() {
    let app = ready_app(AT_ONCE, 100);
    let post = async |path: &str, body: serde_json::Value| {
        let request = Request::post(path)
            .body(Body::from(body.to_string()))
            .unwrap();
        let answer = send(&app, request).await;
        (answer.status, answer.json()["error"].clone())
    };
    let (status, error) = post("/v1/embeddings", json!({"model": "x", "input": "a"})).await;
    assert_eq!(
        (status, &error["type"]),
        (404, &json!("invalid_request_error"))
    );
    assert_eq!(error["code"], "unknown_model");
    let (status, error) = post("/v1/embeddings", json!({"model": MODEL, "input": "a"})).await;
    assert_eq!((status, &error["code"]), (422, &json!("unsupported_model")));
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("tabular") && message.contains("text-embedding"),
        "{message}"
    );
    let (status, error) = post("/v1/embeddings", json!({"model": MODEL})).await;
    assert_eq!((status, &error["code"]), (400, &json!("invalid_json")));
    let (status, error) = post("/rerank", json!({"query": "a", "texts": ["b"]})).await;
    assert_eq!((status, &error["code"]), (422, &json!("unsupported_model")));
}
