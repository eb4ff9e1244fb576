//! Predictions agree with onnxruntime for Python, with any sharing of batches.

use std::thread;

use serde_json::json;

use crate::support::{HeldOut, Server};

fn check_alone_and_as_list(model: &str) {
    let held_out = HeldOut::of(model);
    assert!(held_out.rows.len() >= 30);
    let server = Server::start(model, &[]);
    let client = server.client();
    for (index, row) in held_out.rows.iter().enumerate() {
        let json = client.predict(row).json();
        held_out.check(index, &json["prediction"], &json["confidence"]);
        assert_eq!(json["batch_size"], 1);
    }
    for (chunk, rows) in held_out.rows.chunks(32).enumerate() {
        let json = client.predict(&rows).json();
        assert_eq!(json["batch_size"], rows.len());
        for (offset, _) in rows.iter().enumerate() {
            let (prediction, confidence) =
                (&json["prediction"][offset], &json["confidence"][offset]);
            held_out.check(chunk * 32 + offset, prediction, confidence);
        }
    }
}

#[test]
fn iris_alone_and_as_a_list() {
    check_alone_and_as_list("iris");
}

#[test]
fn digits_alone_and_as_a_list() {
    check_alone_and_as_list("digits");
}

/// Sends every row from a thread of its own; gives the largest batch that one of them ran in.
fn check_concurrently(arguments: &[&str]) -> u64 {
    let held_out = HeldOut::of("digits");
    let server = Server::start("digits", arguments);
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = held_out
            .rows
            .iter()
            .map(|row| {
                let client = server.client();
                scope.spawn(move || client.predict(row).json())
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for (index, json) in answers.iter().enumerate() {
        held_out.check(index, &json["prediction"], &json["confidence"]);
    }
    answers
        .iter()
        .map(|json| json["batch_size"].as_u64().unwrap())
        .max()
        .unwrap()
}

#[test]
fn concurrent_requests_in_shared_batches_get_their_own_predictions() {
    let largest = check_concurrently(&[
        "--batching-policy",
        "window",
        "--max-wait-ms",
        "200",
        "--max-batch-size",
        "16",
    ]);
    assert!((2..=16).contains(&largest), "batches of {largest}");
}

#[test]
fn concurrent_requests_on_several_workers_get_their_own_predictions() {
    let largest = check_concurrently(&["--workers", "3"]);
    assert!(largest <= 32, "batches of {largest}");
}

#[test]
fn answers_have_the_contracts_fields_and_metrics_count_them() {
    let mut command =
        crate::support::serving(crate::support::binary(), &crate::support::model("iris"));
    command.envs([
        ("SPRINGTIDE_MODEL_SERVICE", "iris"),
        ("SPRINGTIDE_NAMESPACE", "team-a"),
    ]);
    let server = Server::spawn(command);
    let client = server.client();
    let answer = client
        .post(r#"{"features": [5.1, 3.5, 1.4, 0.2], "request_id": "r-1"}"#)
        .json();
    let mut fields: Vec<_> = answer
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "batch_size",
            "confidence",
            "latency_ms",
            "prediction",
            "request_id"
        ]
    );
    assert_eq!(answer["request_id"], "r-1");
    assert_eq!(client.get("/health").json(), json!({"status": "ok"}));
    assert_eq!(client.get("/ready").json(), json!({"status": "ready"}));
    let metrics = client.get("/metrics");
    assert!(
        metrics.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    let success = metrics
        .text
        .lines()
        .find(|line| line.contains(r#"model="model",status="success""#))
        .unwrap();
    assert!(
        success.starts_with("ml_requests_total{") && success.ends_with("} 1"),
        "{success}"
    );
    for label in ["modelservice=\"iris\"", "modelservice_namespace=\"team-a\""] {
        assert!(success.contains(label), "{success}");
    }
}
