use std::num::NonZeroUsize;
use std::time::Duration;

use axum::body::to_bytes;
use serde_json::{Value, json};
use springtide_inference::{Dimension, ElementType, Port, Signature};
use springtide_tasks::request::Protocol;
use springtide_tasks::tabular::Table;
use springtide_tasks::tabular::request::parse;

use super::*;

const WAIT: Duration = Duration::from_millis(2_100);

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
    let input = Port::tensor("x", ElementType::F32, [Dimension::Any, Dimension::Fixed(1)]);
    let signature = Signature {
        inputs: vec![input],
        outputs: vec![],
    };
    let table = Table::new(&signature, &[]).unwrap();
    let parsed = parse(
        body.as_bytes(),
        &table,
        NonZeroUsize::MIN,
        Protocol::Predict,
    );
    parsed.unwrap_err().into()
}

fn not_finite() -> ApiError {
    let field = "features".to_owned();
    ApiError::NotFinite { field }
}

fn unsupported() -> ApiError {
    ApiError::Unsupported(NoTask::Tensor)
}

#[tokio::test]
async fn every_error_is_json_with_a_stable_code() {
    use Status::{Error, Invalid, Timeout};
    let rejected = Status::Rejected;
    let (queue_full, overloaded) = (
        InferError::QueueFull { retry_after: WAIT },
        InferError::Overloaded { retry_after: WAIT },
    );
    for (error, status, code, counts_as, retry_after) in [
        (invalid("["), 400, "invalid_json", Invalid, None),
        (invalid("{}"), 422, "invalid_field", Invalid, None),
        (not_finite(), 422, "invalid_field", Invalid, None),
        (
            ApiError::BodyTooLarge { limit: 10 },
            413,
            "body_too_large",
            Invalid,
            None,
        ),
        (
            ApiError::BodyIncomplete,
            400,
            "body_incomplete",
            Invalid,
            None,
        ),
        (
            ApiError::BodyTooSlow,
            408,
            "body_too_slow",
            Invalid,
            Some("1"),
        ),
        (ApiError::NotFound, 404, "not_found", Invalid, None),
        (
            ApiError::MethodNotAllowed,
            405,
            "method_not_allowed",
            Invalid,
            None,
        ),
        (
            ApiError::SeveralModels,
            404,
            "several_models",
            Invalid,
            None,
        ),
        (unsupported(), 422, "unsupported_model", Invalid, None),
        (
            ApiError::Lookup(LookupError::UnknownModel("x".to_owned())),
            404,
            "unknown_model",
            Invalid,
            None,
        ),
        (
            ApiError::Lookup(LookupError::Unavailable {
                name: "x".to_owned(),
                reason: "it is broken".to_owned(),
            }),
            503,
            "unavailable",
            rejected(Rejected::Loading),
            Some("1"),
        ),
        (
            ApiError::InvalidInput {
                field: "rows",
                problem: "an index beyond a table".to_owned(),
            },
            422,
            "invalid_field",
            Invalid,
            None,
        ),
        (
            ApiError::NoRoomForBody,
            429,
            "no_room_for_body",
            rejected(Rejected::NoRoomForBody),
            Some("1"),
        ),
        (
            queue_full.into(),
            429,
            "queue_full",
            rejected(Rejected::QueueFull),
            Some("3"),
        ),
        (
            overloaded.into(),
            429,
            "overloaded",
            rejected(Rejected::Overloaded),
            Some("3"),
        ),
        (
            ApiError::Loading,
            503,
            "loading",
            rejected(Rejected::Loading),
            Some("1"),
        ),
        (
            ApiError::Draining,
            503,
            "draining",
            rejected(Rejected::Draining),
            Some("1"),
        ),
        (
            InferError::Draining.into(),
            503,
            "draining",
            rejected(Rejected::Draining),
            Some("1"),
        ),
        (InferError::TimedOut.into(), 504, "timeout", Timeout, None),
        (
            InferError::InvalidInput("x".to_owned()).into(),
            422,
            "invalid_field",
            Invalid,
            None,
        ),
        (InferError::Failed.into(), 500, "run_failed", Error, None),
    ] {
        assert_eq!(error.status(), counts_as, "{code}");
        let message = error.to_string();
        let (got_status, got_retry_after, body) = parts(error).await;
        assert_eq!(got_status, status, "{code}");
        assert_eq!(body["error"]["code"], code);
        assert_eq!(body["error"]["message"], message);
        assert_eq!(got_retry_after.as_deref(), retry_after, "{code}");
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
    let (_, _, body) = parts(ApiError::Loading).await;
    assert_eq!(body["error"].get("field"), None);
}

#[test]
fn a_model_that_can_not_be_found_is_loading_or_one_of_several() {
    assert_eq!(
        ApiError::from(LookupError::Several),
        ApiError::SeveralModels
    );
    assert_eq!(
        ApiError::from(LookupError::NothingServes),
        ApiError::Loading
    );
}
