mod encodings;

use std::time::Duration;

use axum::body::to_bytes;
use http::StatusCode;
use serde_json::{Value, json};
use springtide_batching::Policy;
use springtide_inference::{Dimension, ElementType, Port, Signature};

use super::*;
use crate::http::testing::{
    AT_ONCE, MODEL, REQUEST_MEMORY, TestResponse, WINDOW, app, get_path, ready_app, send, serving,
    serving_rows, until_waiting,
};
use crate::models::testing::{FakeBackend, install};

const INFER: &str = "/v2/models/fake/infer";

fn features(rows: &Value) -> Value {
    let shape = [rows.as_array().unwrap().len(), 2];
    json!({
        "id": "abc",
        "inputs": [{"name": "features", "shape": shape, "datatype": "FP32", "data": rows}],
    })
}

async fn post_to(app: &Arc<App>, path: &str, body: impl Into<Body>) -> TestResponse {
    send(app, Request::post(path).body(body.into()).unwrap()).await
}

async fn infer(app: &Arc<App>, body: &Value) -> TestResponse {
    post_to(app, INFER, body.to_string()).await
}

fn error(answer: &TestResponse) -> (u16, String) {
    let text = answer.json()["error"].as_str().unwrap().to_owned();
    (answer.status, text)
}

/// Requests of its model may have any length.
fn ready_app_without_bounds() -> Arc<App> {
    let wide = Signature {
        inputs: vec![Port::tensor(
            "features",
            ElementType::F32,
            [Dimension::Any, Dimension::Any],
        )],
        outputs: crate::models::testing::classifier_signature().outputs,
    };
    serving(FakeBackend::with_signature(wide), AT_ONCE, 8)
}

#[tokio::test]
async fn rows_are_answered_as_the_protocol_says() {
    let app = ready_app(AT_ONCE, 8);
    let answer = infer(&app, &features(&json!([[1, 0], [2, 0]]))).await;
    let expected = json!({
        "model_name": MODEL, "model_version": "1", "id": "abc",
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [2], "data": [1, 2]},
            {
                "name": "probabilities", "datatype": "FP32", "shape": [2, 2],
                "data": [0.25, 0.75, 0.25, 0.75],
            },
        ],
    });
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!(answer.headers[CONTENT_TYPE], "application/json");
}

#[tokio::test]
async fn a_version_and_some_outputs_can_be_asked_for() {
    let app = ready_app(AT_ONCE, 8);
    let mut request = features(&json!([[1, 0]]));
    request["outputs"] = json!([{"name": "label"}]);
    let path = "/v2/models/fake/versions/1/infer";
    let answer = post_to(&app, path, request.to_string()).await;
    assert_eq!(answer.json()["outputs"].as_array().unwrap().len(), 1);
}

/// A request as Triton's client makes it: features and outputs as raw bytes.
fn binary_request(rows: usize) -> (usize, Vec<u8>) {
    let json = json!({
        "inputs": [{
            "name": "features", "shape": [rows, 2], "datatype": "FP32",
            "parameters": {"binary_data_size": rows * 8},
        }],
        "parameters": {"binary_data_output": true},
    });
    let mut body = json.to_string().into_bytes();
    let length = body.len();
    body.extend(
        [3.0_f32, 0.0]
            .repeat(rows)
            .iter()
            .flat_map(|number| number.to_le_bytes()),
    );
    (length, body)
}

/// Status, headers and body.
async fn send_raw(app: &Arc<App>, request: Request) -> (StatusCode, HeaderMap, Vec<u8>) {
    let router = crate::http::router(Arc::clone(app));
    let response = router.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1_000_000).await.unwrap();
    (status, headers, body.to_vec())
}

fn check_binary(headers: &HeaderMap, body: &[u8], rows: usize) {
    let length = headers[JSON_LENGTH_HEADER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let (json, binary) = body.split_at(length);
    let json: Value = serde_json::from_slice(json).unwrap();
    let size = &json["outputs"][0]["parameters"]["binary_data_size"];
    assert_eq!(*size, json!(rows * 8));
    assert_eq!(binary.len(), rows * 16);
    assert_eq!(binary[..8], 3_i64.to_le_bytes());
    assert_eq!(headers[CONTENT_TYPE], "application/octet-stream");
}

#[tokio::test]
async fn raw_bytes_go_in_and_out() {
    let app = ready_app(AT_ONCE, 8);
    let (length, body) = binary_request(2);
    let request = Request::post(INFER).header(JSON_LENGTH_HEADER, length);
    let (status, headers, body) = send_raw(&app, request.body(body.into()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    check_binary(&headers, &body, 2);
}

#[tokio::test]
async fn a_body_may_be_nothing_but_one_row() {
    let app = ready_app(AT_ONCE, 8);
    let row: Vec<u8> = [3.0_f32, 0.0]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    let request = Request::post(INFER).header(JSON_LENGTH_HEADER, 0);
    let (status, headers, body) = send_raw(&app, request.body(row.into()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    check_binary(&headers, &body, 1);
}

#[tokio::test]
async fn requests_that_do_not_fit_have_a_reason() {
    let app = ready_app(AT_ONCE, 8);
    let mut unknown = features(&json!([[1, 0]]));
    unknown["inputs"][0]["name"] = json!("x");
    let mut sequence = features(&json!([[1, 0]]));
    sequence["parameters"] = json!({"sequence_id": 7});
    for (request, status, part) in [
        (json!({}), 400, "inputs is required"),
        (unknown, 400, "input \"x\": the model has no such input"),
        (sequence, 501, "sequences are not supported"),
        (
            features(&json!(vec![[1, 0]; 5])),
            400,
            "there are more than 8 elements",
        ),
        (features(&json!([])), 400, "the inputs have no rows"),
        (
            features(&json!([[-1, 0]])),
            500,
            "the model failed on this request",
        ),
    ] {
        let answer = infer(&app, &request).await;
        let (found, text) = error(&answer);
        assert_eq!(found, status, "{text}");
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn an_overload_has_a_time_to_retry_after() {
    let app = ready_app(WINDOW, 2);
    let waiting = tokio::spawn({
        let app = Arc::clone(&app);
        async move { infer(&app, &features(&json!([[1, 0], [2, 0]]))).await }
    });
    until_waiting(&app, 2).await;
    let answer = infer(&app, &features(&json!([[1, 0]]))).await;
    assert_eq!(answer.status, 429);
    assert!(answer.headers.contains_key("retry-after"));
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_may_shorten_the_timeout() {
    let app = ready_app(Policy::Window(Duration::from_secs(4)), 8);
    let mut request = features(&json!([[1, 0]]));
    request["parameters"] = json!({"timeout": 100_000});
    let began = Instant::now();
    let answer = infer(&app, &request).await;
    assert_eq!(error(&answer).0, 504);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn requests_are_counted_for_their_model() {
    let app = ready_app(AT_ONCE, 8);
    infer(&app, &features(&json!([[1, 0]]))).await;
    infer(&app, &json!({})).await;
    post_to(&app, "/v2/models/other/infer", "{}").await;
    let text = get_path(&app, "/metrics").await.text;
    for line in [
        "ml_requests_total{model=\"fake\",status=\"success\"} 1",
        "ml_requests_total{model=\"fake\",status=\"invalid\"} 1",
        "ml_requests_total{model=\"\",status=\"invalid\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn health_follows_the_phase() {
    let app = app();
    let status = async |path| get_path(&app, path).await.status;
    assert_eq!(status("/v2/health/live").await, 200);
    assert_eq!(status("/v2/health/ready").await, 503);
    assert_eq!(status("/v2/models/fake/ready").await, 503);
    app.lifecycle.ready();
    assert_eq!(status("/v2/health/ready").await, 200);
    assert_eq!(status("/v2/models/fake/ready").await, 404);
    app.lifecycle.drain();
    assert_eq!(status("/v2/health/ready").await, 503);
    let app = ready_app(AT_ONCE, 8);
    let status = async |path| get_path(&app, path).await.status;
    assert_eq!(status("/v2/models/fake/ready").await, 200);
    assert_eq!(status("/v2/models/fake/versions/1/ready").await, 200);
    assert_eq!(status("/v2/models/fake/versions/2/ready").await, 404);
    let ready = get_path(&app, "/v2/models/fake/ready").await.json();
    assert_eq!(ready, json!({"name": MODEL, "ready": true}));
}

#[tokio::test]
async fn the_server_and_its_models_describe_themselves() {
    let app = ready_app(AT_ONCE, 8);
    let json = async |path| get_path(&app, path).await.json();
    for path in ["/v2", "/v2/"] {
        let server = json(path).await;
        assert_eq!(server["name"], json!("springtide"));
        assert!(
            server["extensions"]
                .as_array()
                .unwrap()
                .contains(&json!("binary_tensor_data"))
        );
    }
    let model = json("/v2/models/fake").await;
    assert_eq!(model["versions"], json!(["1"]));
    assert_eq!(model["inputs"][0]["shape"], json!([-1, 2]));
    let config = json("/v2/models/fake/config").await;
    assert_eq!(config["max_batch_size"], json!(4));
    assert_eq!(config["input"][0]["dims"], json!([2]));
    assert_eq!(config["instance_group"][0]["kind"], json!("KIND_CPU"));
    let provider = &config["parameters"]["execution_provider"]["string_value"];
    assert_eq!(*provider, json!("cpu"));
}

#[tokio::test]
async fn statistics_count_the_runs() {
    let app = ready_app(AT_ONCE, 8);
    infer(&app, &features(&json!([[1, 0], [2, 0]]))).await;
    for path in [
        "/v2/models/stats",
        "/v2/models/fake/stats",
        "/v2/models/fake/versions/1/stats",
    ] {
        let answer = get_path(&app, path).await.json();
        let statistics = &answer["model_stats"][0];
        assert_eq!(statistics["name"], json!(MODEL));
        assert_eq!(statistics["inference_count"], json!(2));
        assert_eq!(statistics["inference_stats"]["success"]["count"], json!(1));
        assert_eq!(statistics["batch_stats"][0]["batch_size"], json!(2));
    }
}

#[tokio::test]
async fn the_index_has_every_version_and_nothing_can_be_loaded() {
    let app = ready_app(AT_ONCE, 8);
    let expected = json!([{"name": MODEL, "version": "1", "state": "READY", "reason": ""}]);
    for body in ["", "{}", "{\"ready\": true}"] {
        let answer = post_to(&app, "/v2/repository/index", body).await;
        assert_eq!(answer.json(), expected);
    }
    for action in ["load", "unload"] {
        let answer = post_to(&app, &format!("/v2/repository/models/fake/{action}"), "{}").await;
        assert_eq!(error(&answer).0, 501);
    }
}

#[tokio::test]
async fn unknown_paths_have_an_error_of_the_protocol() {
    let app = ready_app(AT_ONCE, 8);
    for path in ["/v2/nothing", "/v2/models/fake/nothing", "/v2/models/other"] {
        assert_eq!(error(&get_path(&app, path).await).0, 404, "{path}");
    }
    assert_eq!(error(&get_path(&app, INFER).await).0, 405);
    assert_eq!(error(&post_to(&app, "/v2/models/fake", "").await).0, 405);
}

#[tokio::test]
async fn numbers_have_their_memory_before_they_are_read() {
    let app = ready_app_without_bounds();
    let numbers = "0,".repeat(REQUEST_MEMORY / 4);
    // Nobody would find out that this isn't JSON without reading it.
    let body = format!(r#"{{"inputs": [{{"datatype": "FP64", "data": [{numbers}"#);
    let answer = post_to(&app, INFER, body).await;
    assert_eq!(error(&answer).0, 429);
}

#[tokio::test]
async fn a_path_that_is_not_utf8_does_not_exist_and_is_counted() {
    let app = ready_app(AT_ONCE, 8);
    let answer = post_to(&app, "/v2/models/%ff/infer", "{}").await;
    assert_eq!(error(&answer).0, 404);
    assert_eq!(error(&get_path(&app, "/v2/models/%ff").await).0, 404);
    let text = get_path(&app, "/metrics").await.text;
    let line = "ml_requests_total{model=\"\",status=\"invalid\"} 1";
    assert!(text.lines().any(|found| found == line), "{text}");
}

#[tokio::test]
async fn a_large_response_keeps_its_memory_until_it_is_taken() {
    let app = serving_rows(FakeBackend::classifier(), 2_000);
    let (length, body) = binary_request(2_000);
    let request = Request::post(INFER).header(JSON_LENGTH_HEADER, length);
    let router = crate::http::router(Arc::clone(&app));
    let answer = router
        .oneshot(request.body(Body::from(body)).unwrap())
        .await;
    assert!(
        app.request_memory
            .empty_reservation()
            .grow(REQUEST_MEMORY)
            .is_err()
    );
    drop(answer);
    assert!(
        app.request_memory
            .empty_reservation()
            .grow(REQUEST_MEMORY)
            .is_ok()
    );
}

#[tokio::test]
async fn a_response_without_memory_is_rejected() {
    let app = serving_rows(FakeBackend::classifier(), 2_000);
    let (length, body) = binary_request(2_000);
    let mut others = app.request_memory.empty_reservation();
    // Room for the request, which is half as large as its answer.
    others.grow(REQUEST_MEMORY - 3 * body.len() / 2).unwrap();
    let request = Request::post(INFER).header(JSON_LENGTH_HEADER, length);
    let answer = send(&app, request.body(body.into()).unwrap()).await;
    assert_eq!(error(&answer).0, 429);
}

#[tokio::test]
async fn a_model_named_stats_is_there_beside_the_statistics() {
    let app = ready_app(AT_ONCE, 8);
    let config = springtide_batching::Config {
        sharing: springtide_batching::Sharing::Alone,
        policy: AT_ONCE,
        max_rows: std::num::NonZeroUsize::MIN,
        max_queue_rows: std::num::NonZeroUsize::MIN,
        objective: None,
    };
    install(&app, "stats", FakeBackend::classifier(), config);
    let all = get_path(&app, "/v2/models/stats").await.json();
    assert_eq!(all["model_stats"].as_array().unwrap().len(), 2);
    let own = get_path(&app, "/v2/models/stats/versions/1").await.json();
    assert_eq!(own["name"], "stats");
    assert_eq!(own["inputs"][0]["name"], "features");
    for rest in ["", "/versions/1"] {
        let path = |end: &str| format!("/v2/models/stats{rest}{end}");
        let ready = get_path(&app, &path("/ready")).await.json();
        assert_eq!(ready["name"], "stats");
        let config = get_path(&app, &path("/config")).await.json();
        assert_eq!(config["name"], "stats");
        let statistics = get_path(&app, &path("/stats")).await.json();
        assert_eq!(statistics["model_stats"][0]["name"], "stats");
        assert_eq!(statistics["model_stats"].as_array().unwrap().len(), 1);
        let body = features(&json!([[1, 0]])).to_string();
        let answer = post_to(&app, &path("/infer"), body).await;
        assert_eq!(answer.json()["model_name"], "stats", "{}", answer.text);
    }
}

#[tokio::test]
async fn inputs_that_the_model_rejects_are_reported_to_their_client() {
    let app = ready_app(WINDOW, 8);
    let both = features(&json!([[1, 0], [2, 0]]));
    let beyond = features(&json!([[1e6, 0], [1, 0]]));
    let (good, bad) = tokio::join!(infer(&app, &both), infer(&app, &beyond));
    assert_eq!(good.status, 200, "{}", good.text);
    let expected = "the model doesn't take the input: Gather: out of bounds";
    assert_eq!(error(&bad), (400, expected.to_owned()));
}
