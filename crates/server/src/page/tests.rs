use axum::body::Body;
use axum::extract::Request;
use serde_json::json;
use springtide_inference::{Dimension, ElementType, Port, Signature};

use super::*;
use crate::http::testing::{AT_ONCE, MODEL, TestResponse, app, get_path, send, serving};
use crate::models::testing::FakeBackend;

/// A server with the page.
fn with_page(app: Arc<App>) -> Arc<App> {
    let mut app = Arc::into_inner(app).unwrap();
    app.page = true;
    Arc::new(app)
}

#[tokio::test]
async fn without_the_flag_there_is_no_page() {
    let app = app();
    for path in [
        "/",
        "/page.js",
        "/page/answer.js",
        "/page.css",
        "/page/models",
    ] {
        let answer = get_path(&app, path).await;
        assert_eq!(answer.code(), (404, json!("not_found")), "{path}");
    }
}

fn check_headers(answer: &TestResponse, content_type: &str) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], content_type);
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    assert_eq!(answer.headers["x-frame-options"], "DENY");
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    let directives: Vec<&str> = policy.split("; ").collect();
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(directives.contains(&directive), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[tokio::test]
async fn the_page_allows_only_content_of_this_server() {
    let app = with_page(app());
    for (path, content_type, content) in [
        ("/", "text/html; charset=utf-8", DOCUMENT),
        ("/page.js", "text/javascript; charset=utf-8", SCRIPT),
        (
            "/page/answer.js",
            "text/javascript; charset=utf-8",
            ANSWER_SCRIPT,
        ),
        ("/page.css", "text/css; charset=utf-8", STYLE),
    ] {
        let answer = get_path(&app, path).await;
        check_headers(&answer, content_type);
        assert_eq!(answer.text, content);
    }
    let posted = send(&app, Request::post("/").body(Body::empty()).unwrap()).await;
    assert_eq!(posted.code(), (405, json!("method_not_allowed")));
}

#[test]
fn the_page_is_small_and_has_no_code_or_style_of_its_own() {
    assert!(DOCUMENT.len() + SCRIPT.len() + ANSWER_SCRIPT.len() + STYLE.len() < 40_000);
    for part in ["<style", "style=", "onclick", "javascript:", "//cdn"] {
        assert!(!DOCUMENT.contains(part), "{part}");
    }
    // The namespace of SVG is no address that is loaded.
    let addresses = DOCUMENT.replace("xmlns='http://www.w3.org/2000/svg'", "");
    for text in [&*addresses, SCRIPT, ANSWER_SCRIPT, STYLE] {
        assert!(!text.contains("http://") && !text.contains("https://"));
    }
    // Names of models and labels are not HTML.
    for part in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
        "document.write",
    ] {
        assert!(
            !SCRIPT.contains(part) && !ANSWER_SCRIPT.contains(part),
            "{part}"
        );
    }
}

#[tokio::test]
async fn a_tabular_model_has_columns() {
    let app = with_page(serving(FakeBackend::classifier(), AT_ONCE, 8));
    let answer = get_path(&app, "/page/models").await;
    check_headers(&answer, "application/json");
    let expected = json!({
        "server_version": env!("CARGO_PKG_VERSION"),
        "default": MODEL,
        "models": [{
            "name": MODEL, "version": "1", "task": "tabular", "classes": true,
            "input": "rows", "features": 2, "column_count": 1,
            "columns": [{"name": "features", "kind": "number", "datatype": "float32", "width": 2}],
        }],
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn a_model_without_a_task_says_why() {
    let any = Dimension::Any;
    let signature = Signature {
        inputs: vec![Port::tensor("cube", ElementType::F32, [any; 3])],
        outputs: vec![Port::tensor("label", ElementType::I64, [any])],
    };
    let backend = FakeBackend::with_signature(signature);
    let app = with_page(serving(backend, AT_ONCE, 8));
    let answer = get_path(&app, "/page/models").await;
    let model = &answer.json()["models"][0];
    assert_eq!(
        (&model["task"], &model["input"]),
        (&json!("tensor"), &json!("none"))
    );
    let problem = model["problem"].as_str().unwrap();
    assert!(
        problem.contains("cube") && problem.contains("/infer"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_server_without_models_has_an_empty_list() {
    let answer = get_path(&with_page(app()), "/page/models").await;
    assert_eq!((answer.status, &answer.json()["models"]), (200, &json!([])));
    assert_eq!(answer.json()["default"], json!(null));
}
