use axum::body::{Body, to_bytes};
use http::HeaderMap;
use serde_json::{Value, json};
use springtide_batching::{Config, Driver, Policy};
use tower::ServiceExt;

use super::*;
use crate::predictor::tests::FakeBackend;

const BODY_BUDGET: usize = 1 << 20;

fn app() -> Arc<App<FakeBackend>> {
    Arc::new(App {
        lifecycle: Lifecycle::default(),
        metrics: Arc::new(Metrics::new(None, None).unwrap()),
        bodies: BodyBudget::new(NonZeroUsize::new(BODY_BUDGET).unwrap()),
        model: OnceLock::new(),
        request_timeout: Duration::from_secs(5),
    })
}

/// A server that is ready. With a long window nothing runs before the batch is full or the queue is
/// closed. Where a worker must answer, the clock must not be paused: it would jump to the request's
/// deadline while the worker's thread, which it doesn't know, is at work.
fn ready_app(policy: Policy, max_queue_rows: usize) -> Arc<App<FakeBackend>> {
    let app = app();
    let max_rows = NonZeroUsize::new(4).unwrap();
    let config = Config {
        policy,
        max_rows,
        max_queue_rows: NonZeroUsize::new(max_queue_rows).unwrap(),
    };
    let observer = Arc::<Metrics>::clone(&app.metrics);
    let predictor = Predictor::new(FakeBackend::new()).unwrap();
    let limits = Limits {
        features: predictor.features(),
        max_rows,
    };
    let (queue, driver) = Driver::start(config, predictor, [], observer).unwrap();
    tokio::spawn(driver.run());
    assert!(app.model.set(Model { queue, limits }).is_ok());
    app.lifecycle.ready();
    app
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn code(&self) -> (u16, Value) {
        (self.status, self.json()["error"]["code"].clone())
    }
}

async fn send(app: &Arc<App<FakeBackend>>, request: Request) -> Answer {
    let response = router(Arc::clone(app)).oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1_000_000).await.unwrap();
    Answer {
        status,
        headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

async fn get_path(app: &Arc<App<FakeBackend>>, path: &str) -> Answer {
    send(app, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn predict(app: &Arc<App<FakeBackend>>, body: impl Into<Body>) -> Answer {
    send(app, Request::post("/predict").body(body.into()).unwrap()).await
}

async fn until_waiting(app: &App<FakeBackend>, rows: usize) {
    while app.model.get().unwrap().queue.waiting_rows() != rows {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_prediction_has_the_contracts_fields() {
    let app = ready_app(
        Policy::WorkConserving {
            max_linger: Duration::ZERO,
        },
        100,
    );
    let answer = predict(&app, r#"{"features": [3, 0], "request_id": "r-1"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut json = answer.json();
    assert!(json["latency_ms"].as_f64().unwrap() > 0.0);
    json["latency_ms"] = json!(0);
    let expected = json!({
        "prediction": 3, "confidence": 0.75, "latency_ms": 0, "batch_size": 1, "request_id": "r-1",
    });
    assert_eq!(json, expected);
}

#[tokio::test]
async fn before_the_model_is_loaded_the_server_is_alive_but_not_ready() {
    let app = app();
    assert_eq!(get_path(&app, "/health").await.status, 200);
    assert_eq!(
        get_path(&app, "/ready").await.code(),
        (503, json!("loading"))
    );
    assert_eq!(
        predict(&app, r#"{"features": [3, 0]}"#).await.code(),
        (503, json!("loading"))
    );
    assert_eq!(get_path(&app, "/metrics").await.status, 200);
}

#[tokio::test]
async fn draining_turns_readiness_off_and_still_answers() {
    let app = ready_app(
        Policy::WorkConserving {
            max_linger: Duration::ZERO,
        },
        100,
    );
    let ready = get_path(&app, "/ready").await;
    assert_eq!(ready.status, 200);
    app.lifecycle.drain();
    assert_eq!(
        get_path(&app, "/ready").await.code(),
        (503, json!("draining"))
    );
    assert_eq!(get_path(&app, "/health").await.status, 200);
    let answer = predict(&app, r#"{"features": [3, 0]}"#).await;
    assert_eq!(answer.status, 200, "what is accepted is answered");
    app.model.get().unwrap().queue.close();
    assert_eq!(
        predict(&app, r#"{"features": [3, 0]}"#).await.code(),
        (503, json!("draining"))
    );
    let metrics = get_path(&app, "/metrics").await.text;
    assert!(
        metrics.contains("ml_requests_dropped_total{reason=\"draining\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn other_paths_and_methods_are_json_errors() {
    let app = app();
    assert_eq!(
        get_path(&app, "/nothing").await.code(),
        (404, json!("not_found"))
    );
    let answer = get_path(&app, "/predict").await;
    assert_eq!(answer.code(), (405, json!("method_not_allowed")));
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_413_and_one_without_room_429() {
    let app = ready_app(
        Policy::WorkConserving {
            max_linger: Duration::ZERO,
        },
        100,
    );
    let largest = app.model.get().unwrap().limits.max_body_bytes();
    let refused = predict(&app, " ".repeat(largest + 1)).await;
    assert_eq!(refused.code(), (413, json!("body_too_large")));
    let mut others = app.bodies.hold();
    others.grow(BODY_BUDGET - largest + 1).unwrap();
    let refused = predict(&app, " ".repeat(largest)).await;
    assert_eq!(refused.code(), (429, json!("no_room_for_body")));
    assert_eq!(refused.headers["retry-after"], "1");
}

/// A body that never comes.
fn tokio_stream_pending() -> futures::stream::Pending<Result<axum::body::Bytes, std::io::Error>> {
    futures::stream::pending()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_ends_with_the_requests_time() {
    let app = ready_app(
        Policy::WorkConserving {
            max_linger: Duration::ZERO,
        },
        100,
    );
    let answer = predict(&app, Body::from_stream(tokio_stream_pending())).await;
    assert_eq!(answer.code(), (408, json!("body_too_slow")));
}

#[tokio::test]
async fn a_full_queue_is_429_with_retry_after_and_readiness_stays() {
    let app = ready_app(Policy::Window(Duration::from_secs(60)), 2);
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
        "ml_queue_size 2",
        "ml_active_requests 1",
        "ml_requests_dropped_total{reason=\"queue_full\"} 1",
        "ml_requests_total{status=\"rejected\"} 1",
        "ml_requests_received_total 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    app.model.get().unwrap().queue.close();
    assert_eq!(waiting.await.unwrap().json()["prediction"], json!([1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_time_is_up_is_504_and_leaves_the_queue() {
    let app = ready_app(Policy::Window(Duration::from_secs(60)), 100);
    let answer = predict(&app, r#"{"features": [3, 0]}"#).await;
    assert_eq!(answer.code(), (504, json!("timeout")));
    let metrics = get_path(&app, "/metrics").await.text;
    for line in [
        "ml_queue_size 0",
        "ml_active_requests 0",
        "ml_requests_dropped_total{reason=\"timeout\"} 1",
        "ml_requests_total{status=\"timeout\"} 1",
        "ml_batch_size_count 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_takes_its_request_out_of_the_queue() {
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
        "ml_queue_size 0",
        "ml_active_requests 0",
        "ml_requests_dropped_total{reason=\"cancelled\"} 1",
        "ml_requests_total{status=\"cancelled\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_request_that_the_model_fails_on_is_500_and_its_neighbours_are_answered() {
    let app = ready_app(Policy::Window(Duration::from_secs(60)), 100);
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
    let app = ready_app(
        Policy::WorkConserving {
            max_linger: Duration::ZERO,
        },
        100,
    );
    let answer = predict(&app, json!({ "features": vec![[1, 0]; 5] }).to_string()).await;
    assert_eq!(answer.code(), (422, json!("invalid_field")));
    assert_eq!(answer.json()["error"]["field"], "features");
}
