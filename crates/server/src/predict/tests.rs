use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use serde_json::json;
use springtide_batching::{Config, Policy};
use springtide_inference::{Dimension, ElementType, Port};
use springtide_tasks::TaskModel;
use springtide_tasks::tabular::request::max_body_bytes;

use crate::app::App;
use crate::http::testing::{
    AT_ONCE, MODEL, REQUEST_MEMORY, WINDOW, get_path, predict, ready_app, send, serving,
    until_waiting,
};
use crate::models::testing::{FakeBackend, classifier_signature, install};

#[tokio::test]
async fn a_prediction_has_the_contracts_fields() {
    let app = ready_app(AT_ONCE, 100);
    let answer = predict(&app, r#"{"features": [0, 0], "request_id": "r-1"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut json = answer.json();
    assert!(json["latency_ms"].as_f64().unwrap() > 0.0);
    json["latency_ms"] = json!(0);
    let expected = json!({
        "prediction": 0, "confidence": 0.75, "latency_ms": 0, "batch_size": 1, "request_id": "r-1",
    });
    assert_eq!(json, expected);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_413_and_one_without_memory_429() {
    let app = ready_app(AT_ONCE, 100);
    let model = app.models.default_model().unwrap();
    let Ok(TaskModel::Tabular(tabular)) = model.task() else {
        panic!("not tabular")
    };
    let largest = max_body_bytes(&tabular.table, NonZeroUsize::new(4).unwrap());
    let refused = predict(&app, " ".repeat(largest + 1)).await;
    assert_eq!(refused.code(), (413, json!("body_too_large")));
    let mut others = app.request_memory.empty_reservation();
    others.grow(REQUEST_MEMORY - largest + 1).unwrap();
    let refused = predict(&app, " ".repeat(largest)).await;
    assert_eq!(refused.code(), (429, json!("no_room_for_body")));
    assert_eq!(refused.headers["retry-after"], "1");
}

/// The value of the model's series with this name.
fn series(app: &App, name: &str) -> f64 {
    let text = app.metrics.text(&app.models.snapshot()).unwrap();
    let start = format!("{name}{{model=\"{MODEL}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&*start));
    value.unwrap().parse().unwrap()
}

#[tokio::test]
async fn rejected_requests_count_as_offered_load_and_invalid_ones_do_not() {
    let app = ready_app(AT_ONCE, 100);
    let offered = || series(&app, "ml_offered_load_seconds_total");
    let valid = r#"{"features": [3, 0]}"#;
    assert_eq!(predict(&app, valid).await.status, 200);
    assert_eq!(offered(), 0.0, "nothing was known when it arrived");
    assert_eq!(predict(&app, valid).await.status, 200);
    let both = offered();
    assert!(both > 0.0);
    let row = series(&app, "ml_capacity_rows_per_second").recip();
    assert!((both / row - 2.0).abs() < 1e-9, "{both}, {row}");
    assert_eq!(predict(&app, "{").await.status, 400);
    assert_eq!(offered(), both);
    let mut others = app.request_memory.empty_reservation();
    others.grow(REQUEST_MEMORY).unwrap();
    assert_eq!(predict(&app, valid).await.status, 429);
    assert!(
        (offered() / row - 3.0).abs() < 1e-9,
        "as a row of those before"
    );
    drop(others);
    app.models.default_model().unwrap().close();
    let known = offered();
    assert_eq!(predict(&app, valid).await.status, 503);
    assert_eq!(offered(), known, "another pod will get it");
}

#[tokio::test]
async fn the_numbers_of_a_request_that_waits_stay_in_the_budget() {
    let app = ready_app(WINDOW, 100);
    let waiting = tokio::spawn({
        let app = Arc::clone(&app);
        async move { predict(&app, r#"{"features": [[1, 0], [2, 0]]}"#).await }
    });
    until_waiting(&app, 2).await;
    let mut others = app.request_memory.empty_reservation();
    // Of the request and of the batch.
    let numbers = 2 * 2 * 2 * size_of::<f32>();
    assert!(others.grow(REQUEST_MEMORY - numbers + 1).is_err());
    others.grow(REQUEST_MEMORY - numbers).unwrap();
    app.models.default_model().unwrap().flush();
    assert_eq!(waiting.await.unwrap().status, 200);
    others.grow(numbers).unwrap();
}

#[tokio::test]
async fn memory_is_reserved_before_a_body_is_parsed() {
    let app = ready_app(AT_ONCE, 100);
    let valid = r#"{"features": [3, 0]}"#;
    let numbers = 2 * size_of::<u64>();
    let mut others = app.request_memory.empty_reservation();
    others
        .grow(REQUEST_MEMORY - valid.len() - numbers + 1)
        .unwrap();
    let refused = predict(&app, valid).await;
    assert_eq!(refused.code(), (429, json!("no_room_for_body")));
    others.shrink_to(REQUEST_MEMORY - valid.len() - numbers);
    assert_eq!(predict(&app, valid).await.status, 200);
}

#[tokio::test]
async fn a_long_body_is_parsed_like_a_short_one() {
    let (any, long) = (Dimension::Any, 40_000);
    let mut signature = classifier_signature();
    signature.inputs[0].shape = Some(vec![any, Dimension::Fixed(long)]);
    let app = serving(FakeBackend::with_signature(signature), AT_ONCE, 100);
    let row = format!("[3{}]", ", 0.25000000000".repeat(long - 1));
    let answer = predict(&app, format!(r#"{{"features": {row}}}"#)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["prediction"], 3);
    let answer = predict(&app, format!(r#"{{"features": {row} "#)).await;
    assert_eq!(answer.code(), (400, json!("invalid_json")));
}

/// A body that never comes.
fn never() -> futures::stream::Pending<Result<axum::body::Bytes, std::io::Error>> {
    futures::stream::pending()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_ends_with_the_requests_time() {
    let app = ready_app(AT_ONCE, 100);
    let answer = predict(&app, Body::from_stream(never())).await;
    assert_eq!(answer.code(), (408, json!("body_too_slow")));
}

#[tokio::test]
async fn a_full_queue_is_429_with_retry_after_and_readiness_stays() {
    let app = ready_app(WINDOW, 2);
    let waiting = tokio::spawn({
        let app = Arc::clone(&app);
        async move { predict(&app, r#"{"features": [[1, 0], [2, 0]]}"#).await }
    });
    until_waiting(&app, 2).await;
    let refused = predict(&app, r#"{"features": [3, 0]}"#).await;
    assert_eq!(refused.code(), (429, json!("queue_full")));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(get_path(&app, "/ready").await.status, 200);
    let metrics = get_path(&app, "/metrics").await.text;
    for line in [
        "ml_queue_size{model=\"fake\"} 2",
        "ml_active_requests{model=\"fake\"} 1",
        "ml_requests_dropped_total{model=\"fake\",reason=\"queue_full\"} 1",
        "ml_requests_total{model=\"fake\",status=\"rejected\"} 1",
        "ml_requests_received_total{model=\"fake\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    app.models.default_model().unwrap().close();
    assert_eq!(waiting.await.unwrap().json()["prediction"], json!([1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_times_out_is_504_and_dequeued() {
    let app = ready_app(WINDOW, 100);
    let answer = predict(&app, r#"{"features": [3, 0]}"#).await;
    assert_eq!(answer.code(), (504, json!("timeout")));
    let metrics = get_path(&app, "/metrics").await.text;
    for line in [
        "ml_queue_size{model=\"fake\"} 0",
        "ml_active_requests{model=\"fake\"} 0",
        "ml_requests_dropped_total{model=\"fake\",reason=\"timeout\"} 1",
        "ml_requests_total{model=\"fake\",status=\"timeout\"} 1",
        "ml_batch_size_count{model=\"fake\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_request_of_a_disconnected_client_is_dequeued() {
    let app = ready_app(Policy::Window(Duration::from_secs(1)), 100);
    let request = tokio::spawn({
        let app = Arc::clone(&app);
        async move { predict(&app, r#"{"features": [3, 0]}"#).await }
    });
    until_waiting(&app, 1).await;
    request.abort();
    assert!(request.await.is_err());
    let metrics = get_path(&app, "/metrics").await.text;
    for line in [
        "ml_queue_size{model=\"fake\"} 0",
        "ml_active_requests{model=\"fake\"} 0",
        "ml_requests_dropped_total{model=\"fake\",reason=\"cancelled\"} 1",
        "ml_requests_total{model=\"fake\",status=\"cancelled\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_request_that_fails_is_500_and_others_of_its_batch_are_answered() {
    let app = ready_app(WINDOW, 100);
    let bodies = [
        r#"{"features": [1, 0]}"#,
        r#"{"features": [-1, 0]}"#,
        r#"{"features": [[2, 0], [3, 0]]}"#,
    ];
    // Four rows: a full batch.
    let [first, poisoned, second] = bodies.map(|body| {
        let app = Arc::clone(&app);
        tokio::spawn(async move { predict(&app, body).await })
    });
    assert_eq!(first.await.unwrap().json()["prediction"], json!(1));
    assert_eq!(second.await.unwrap().json()["prediction"], json!([2, 3]));
    let poisoned = poisoned.await.unwrap();
    assert_eq!(poisoned.code(), (500, json!("run_failed")));
    assert!(
        !poisoned.text.contains("negative"),
        "no details: {}",
        poisoned.text
    );
}

#[tokio::test]
async fn one_request_may_not_have_more_rows_than_a_batch() {
    let app = ready_app(AT_ONCE, 100);
    let answer = predict(&app, json!({ "features": vec![[1, 0]; 5] }).to_string()).await;
    assert_eq!(answer.code(), (422, json!("invalid_field")));
    assert_eq!(answer.json()["error"]["field"], "features");
}

#[tokio::test]
async fn a_model_whose_inputs_are_no_columns_is_referred_to_the_open_inference_protocol() {
    let mut signature = classifier_signature();
    let (any, three) = (Dimension::Any, Dimension::Fixed(3));
    signature.inputs = vec![Port::tensor(
        "image",
        ElementType::F32,
        [any, three, any, any],
    )];
    let app = serving(FakeBackend::with_signature(signature), AT_ONCE, 100);
    assert_eq!(get_path(&app, "/ready").await.status, 200);
    let refused = predict(&app, r#"{"features": [3, 0]}"#).await;
    assert_eq!(refused.code(), (422, json!("unsupported_model")));
    let message = refused.json()["error"]["message"].to_string();
    assert!(message.contains("image float32[N, 3, N, N]"), "{message}");
    assert!(
        message.contains("use POST /v2/models/<name>/infer"),
        "{message}"
    );
    let metrics = get_path(&app, "/metrics").await.text;
    let line = "ml_requests_total{model=\"fake\",status=\"invalid\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn rows_have_the_names_of_the_inputs_and_probabilities_the_names_of_the_classes() {
    let app = ready_app(AT_ONCE, 100);
    let body = r#"{"rows": [{"features": [1, 0]}, {"features": [0, 0]}], "request_id": "r"}"#;
    let answer = predict(&app, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["prediction"], json!([1, 0]));
    let refused = predict(&app, r#"{"rows": [{"feature": [1, 0]}]}"#).await;
    assert_eq!(refused.code(), (422, json!("invalid_field")));
    assert_eq!(refused.json()["error"]["field"], "rows[0].feature");
    // The probabilities of this model are those of columns whose labels no trial run has shown.
    let refused = predict(&app, r#"{"features": [1, 0], "probabilities": true}"#).await;
    assert_eq!(refused.json()["error"]["field"], "probabilities");
}

#[tokio::test]
async fn a_model_is_asked_by_its_name() {
    let app = ready_app(AT_ONCE, 100);
    let post = async |path: &str| {
        let body = Body::from(r#"{"features": [3, 0]}"#);
        send(&app, Request::post(path).body(body).unwrap()).await
    };
    let answer = post(&format!("/predict/{MODEL}")).await;
    assert_eq!(answer.json()["prediction"], 3);
    let unknown = post("/predict/unknown").await;
    assert_eq!(unknown.code(), (404, json!("unknown_model")));
}

#[tokio::test]
async fn with_several_models_a_request_must_name_one() {
    let app = ready_app(AT_ONCE, 100);
    let config = Config {
        sharing: springtide_batching::Sharing::Alone,
        policy: AT_ONCE,
        max_rows: NonZeroUsize::MIN,
        max_queue_rows: NonZeroUsize::MIN,
        objective: None,
    };
    install(&app, "another", FakeBackend::classifier(), config);
    let refused = predict(&app, r#"{"features": [3, 0]}"#).await;
    assert_eq!(refused.code(), (404, json!("several_models")));
    let metrics = get_path(&app, "/metrics").await.text;
    let line = "ml_requests_total{model=\"\",status=\"invalid\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}
