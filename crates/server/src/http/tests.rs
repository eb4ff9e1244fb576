use serde_json::json;

use super::testing::{AT_ONCE, app, get_path, predict, ready_app};

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
