//! Inputs that a model rejects are errors of the request, and a confidence belongs to its prediction.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Server, binary, serving};

fn made(name: &str) -> PathBuf {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/tests/models");
    models.join(format!("{name}.onnx"))
}

#[test]
fn an_id_beyond_the_table_is_400_and_the_next_request_is_answered() {
    let server = Server::spawn(serving(binary(), &made("embedding")));
    let client = server.client();
    let infer = |id: i64| {
        let input = json!({"name": "ids", "shape": [1], "datatype": "INT64", "data": [id]});
        client.post_to(
            "/v2/models/model/infer",
            &json!({"inputs": [input]}).to_string(),
        )
    };
    let refused = infer(9);
    assert_eq!(refused.status, 400, "{}", refused.text);
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(
        error.contains("indices element out of data bounds"),
        "{error}"
    );
    assert!(!error.contains('/'), "{error}");
    assert_eq!(infer(4).status, 200);
    assert_eq!(
        client.metric("ml_requests_total", r#"status="invalid""#),
        Some(1.0)
    );
}

#[test]
fn a_feature_beyond_the_table_is_422() {
    let server = Server::spawn(serving(binary(), &made("looked_up_classifier")));
    let client = server.client();
    let refused = client.predict(&[9.0]);
    assert_eq!(refused.code(), (422, "invalid_field".to_owned()));
    assert_eq!(refused.json()["error"]["field"], "features");
    assert_eq!(client.predict(&[2.0]).status, 200);
}

#[test]
fn the_confidence_is_that_of_the_prediction() {
    let server = Server::spawn(serving(binary(), &made("threshold")));
    let answer = server.client().predict(&[0.5, 0.0]).json();
    assert_eq!(answer["prediction"], 1);
    let confidence = answer["confidence"].as_f64().unwrap();
    assert!((confidence - 0.377_540_68).abs() < 1e-5, "{answer}");
}
