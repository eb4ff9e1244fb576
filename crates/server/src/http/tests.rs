use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use flate2::read::GzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderName};
use serde_json::json;
use springtide_batching::{Config, Sharing};
use tower::ServiceExt;

use super::testing::{AT_ONCE, app, get_path, predict, ready_app, send, serving};
use super::*;
use crate::models::State;
use crate::models::testing::{FakeBackend, install};

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
async fn a_draining_server_is_not_ready_and_still_answers() {
    let app = ready_app(AT_ONCE, 100);
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
    app.models.default_model().unwrap().close();
    assert_eq!(
        predict(&app, r#"{"features": [3, 0]}"#).await.code(),
        (503, json!("draining"))
    );
    let metrics = get_path(&app, "/metrics").await.text;
    assert!(
        metrics.contains("ml_requests_dropped_total{model=\"fake\",reason=\"draining\"} 1"),
        "{metrics}"
    );
}

/// Has a model's only worker run something that goes on until the result is dropped, beyond its deadline.
async fn a_run_that_does_not_end(app: &Arc<App>, backend: &FakeBackend) -> mpsc::Sender<()> {
    let (runs, held) = (backend.rows().len(), backend.hold());
    let request = tokio::spawn({
        let app = Arc::clone(app);
        async move { predict(&app, r#"{"features": [3, 0]}"#).await.code() }
    });
    while backend.rows().len() == runs {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    assert_eq!(request.await.unwrap(), (504, json!("timeout")));
    held
}

#[tokio::test]
async fn a_server_whose_workers_are_all_stuck_is_not_alive() {
    let backend = FakeBackend::classifier();
    let app = serving(backend.clone(), AT_ONCE, 8);
    let held = a_run_that_does_not_end(&app, &backend).await;
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(get_path(&app, "/health").await.status, 200);
    assert_eq!(app.models.index()[0].state, State::Ready);
    tokio::time::advance(Duration::from_secs(2)).await;
    let dead = get_path(&app, "/health").await;
    assert_eq!(dead.code(), (503, json!("stuck")));
    assert!(
        dead.text.contains("the model fake can't serve"),
        "{}",
        dead.text
    );
    assert_eq!(get_path(&app, "/v2/health/live").await.status, 503);
    let entry = app.models.index().remove(0);
    assert_eq!(entry.state, State::Unavailable);
    assert!(
        entry.reason.contains("a run that continues after"),
        "{entry:?}"
    );
    // It may end after all.
    drop(held);
    while app.models.stuck().is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(get_path(&app, "/health").await.status, 200);
    assert_eq!(app.models.index()[0].state, State::Ready);
}

#[tokio::test]
async fn a_server_with_a_model_that_can_run_is_alive() {
    let backend = FakeBackend::classifier();
    let app = serving(backend.clone(), AT_ONCE, 8);
    let held = a_run_that_does_not_end(&app, &backend).await;
    let config = Config {
        sharing: Sharing::Alone,
        policy: AT_ONCE,
        max_rows: NonZeroUsize::MIN,
        max_queue_rows: NonZeroUsize::MIN,
        objective: None,
    };
    install(&app, "other", FakeBackend::classifier(), config);
    tokio::time::advance(Duration::from_secs(120)).await;
    let states: Vec<_> = app.models.index().iter().map(|entry| entry.state).collect();
    assert_eq!(states, [State::Unavailable, State::Ready]);
    assert_eq!(get_path(&app, "/health").await.status, 200);
    drop(held);
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

#[tokio::test]
async fn metrics_are_compressed_where_it_is_asked_for() {
    let app = ready_app(AT_ONCE, 8);
    let plain = get_path(&app, "/metrics").await;
    assert!(!plain.headers.contains_key(CONTENT_ENCODING));
    let request = Request::get("/metrics").header(ACCEPT_ENCODING, "gzip");
    let answer = router(Arc::clone(&app))
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(answer.headers()[CONTENT_TYPE], metrics::CONTENT_TYPE);
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let mut text = String::new();
    GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
    assert!(text.contains("ml_active_requests"), "{text}");
    assert!(bytes.len() < plain.text.len() / 2);
}

fn with_cors(origins: &[&str]) -> Arc<App> {
    let mut app = Arc::into_inner(app()).unwrap();
    app.cors = origins.iter().map(|text| text.parse().unwrap()).collect();
    Arc::new(app)
}

async fn from_origin(app: &Arc<App>, method: &str, origin: &str) -> HeaderMap {
    let request = Request::builder()
        .method(method)
        .uri("/predict")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    send(app, request.body(Body::empty()).unwrap())
        .await
        .headers
}

const ALLOWED_ORIGIN: &str = "access-control-allow-origin";

#[tokio::test]
async fn only_pages_of_the_allowed_origins_may_read_responses() {
    let app = with_cors(&["https://a.example", "http://localhost:3000"]);
    for method in ["OPTIONS", "POST"] {
        for origin in ["https://a.example", "http://localhost:3000"] {
            let headers = from_origin(&app, method, origin).await;
            assert_eq!(headers[ALLOWED_ORIGIN], origin, "{method}");
        }
        let headers = from_origin(&app, method, "https://b.example").await;
        assert!(!headers.contains_key(ALLOWED_ORIGIN), "{method}");
    }
    let preflight = from_origin(&app, "OPTIONS", "https://a.example").await;
    assert_eq!(preflight["access-control-allow-headers"], "content-type");
    assert_eq!(preflight["access-control-allow-methods"], "GET,POST");
}

#[tokio::test]
async fn all_origins_may_be_allowed_and_none_is_by_default() {
    let headers = from_origin(&with_cors(&["*"]), "POST", "https://b.example").await;
    assert_eq!(headers[ALLOWED_ORIGIN], "*");
    for method in ["OPTIONS", "POST"] {
        let headers = from_origin(&app(), method, "https://b.example").await;
        let told = headers.keys().map(HeaderName::as_str);
        let cors: Vec<_> = told.filter(|name| name.starts_with("access-")).collect();
        assert!(cors.is_empty(), "{cors:?}");
    }
}

#[tokio::test]
async fn inputs_that_the_model_rejects_are_errors_of_the_request() {
    let app = ready_app(AT_ONCE, 8);
    let answer = predict(&app, r#"{"features": [1e6, 0]}"#).await;
    assert_eq!(answer.code(), (422, json!("invalid_field")));
    assert_eq!(answer.json()["error"]["field"], "features");
    let message = answer.json()["error"]["message"].to_string();
    assert!(message.contains("Gather: out of bounds"), "{message}");
    let metrics = get_path(&app, "/metrics").await.text;
    let line = "ml_requests_total{model=\"fake\",status=\"invalid\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}
