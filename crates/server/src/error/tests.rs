use axum::body::to_bytes;
use std::time::Duration;

use serde_json::{Value, json};
use springtide_batching::Overload;
use springtide_inference::RunError;

use super::*;
use crate::request::{Limits, parse};

const ROWS: NonZeroUsize = NonZeroUsize::new(32).unwrap();

async fn parts(error: ApiError) -> (u16, Option<String>, Value) {
    let response = error.into_response();
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .map(|value| value.to_str().unwrap().to_owned());
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, retry_after, serde_json::from_slice(&body).unwrap())
}

fn invalid(body: &str) -> ApiError {
    let limits = Limits {
        features: NonZeroUsize::MIN,
        max_rows: NonZeroUsize::MIN,
    };
    parse(body.as_bytes(), limits).unwrap_err().into()
}

#[tokio::test]
async fn every_error_is_json_with_a_stable_code() {
    use Status::{Error, Invalid, Rejected, Timeout};
    for (error, status, code, counts_as) in [
        (invalid("["), 400, "invalid_json", Invalid),
        (invalid("{}"), 422, "invalid_field", Invalid),
        (
            ApiError::NotFinite {
                field: "features".to_owned(),
            },
            422,
            "invalid_field",
            Invalid,
        ),
        (
            ApiError::BodyTooLarge { limit: 10 },
            413,
            "body_too_large",
            Invalid,
        ),
        (ApiError::BodyIncomplete, 400, "body_incomplete", Invalid),
        (ApiError::BodyTooSlow, 408, "body_too_slow", Invalid),
        (ApiError::NotFound, 404, "not_found", Invalid),
        (
            ApiError::MethodNotAllowed,
            405,
            "method_not_allowed",
            Invalid,
        ),
        (ApiError::QueueFull, 429, "queue_full", Rejected),
        (ApiError::Loading, 503, "loading", Rejected),
        (ApiError::Draining, 503, "draining", Rejected),
        (ApiError::TimedOut, 504, "timeout", Timeout),
        (ApiError::RunFailed, 500, "run_failed", Error),
    ] {
        assert_eq!(error.status(), counts_as, "{code}");
        let message = error.to_string();
        let (got_status, retry_after, body) = parts(error).await;
        assert_eq!(got_status, status, "{code}");
        assert_eq!(body["error"]["code"], code);
        assert_eq!(body["error"]["message"], message);
        let may_retry = matches!(status, 429 | 503);
        assert_eq!(retry_after.as_deref(), may_retry.then_some("1"), "{code}");
    }
}

#[tokio::test]
async fn a_wrong_field_is_named_and_other_errors_name_none() {
    let (_, _, body) = parts(invalid(r#"{"features": ["a"]}"#)).await;
    let expected = json!({"error": {
        "code": "invalid_field",
        "message": "features[0] must be a finite number, not a string",
        "field": "features[0]",
    }});
    assert_eq!(body, expected);
    let (_, _, body) = parts(ApiError::QueueFull).await;
    assert_eq!(body["error"].get("field"), None);
}

#[test]
fn a_failed_run_tells_the_client_no_details() {
    let message = "/models/model.onnx: 0x7f".to_owned();
    let failed = Failure::Failed(RunFailed::Run(RunError::Failed(message)));
    let error = ApiError::from_failure(&failed, ROWS);
    assert_eq!(error, ApiError::RunFailed);
    assert_eq!(error.to_string(), "the model failed on this request");
}

#[test]
fn what_the_batcher_says_means() {
    for (failure, error) in [
        (
            Failure::Rejected(Rejection::Overloaded {
                cause: Overload::QueueFull { waiting: 1, max: 1 },
                retry_after: Duration::from_secs(1),
            }),
            ApiError::QueueFull,
        ),
        (Failure::Rejected(Rejection::Closed), ApiError::Draining),
        (Failure::TimedOut, ApiError::TimedOut),
        (Failure::Gone, ApiError::RunFailed),
    ] {
        assert_eq!(ApiError::from_failure(&failure, ROWS), error);
    }
    let too_many = Failure::Rejected(Rejection::TooManyRows { rows: 40, max: 32 });
    let error = ApiError::from_failure(&too_many, ROWS);
    assert_eq!(error.field(), Some("features"));
    assert_eq!(
        error.to_string(),
        "features has 40 rows, one request may have 32"
    );
}
