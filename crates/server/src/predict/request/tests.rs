use proptest::prelude::*;
use serde_json::json;
use springtide_inference::DataView;

use super::*;

fn limits(features: usize, max_rows: usize) -> PredictLimits {
    PredictLimits {
        features: NonZeroUsize::new(features).unwrap(),
        max_rows: NonZeroUsize::new(max_rows).unwrap(),
    }
}

/// A model with two features, and three rows at most.
fn read(body: &str) -> Result<PredictRequest, InvalidRequest> {
    parse(body.as_bytes(), limits(2, 3))
}

#[track_caller]
fn assert_field(body: &str, field: &str, problem: &str) {
    let expected = InvalidRequest::Field(FieldError::new(field, problem));
    assert_eq!(read(body), Err(expected), "{body}");
}

fn numbers(request: &PredictRequest) -> &[f32] {
    let DataView::F32(numbers) = request.features.data().view() else {
        panic!("not floats")
    };
    numbers
}

#[test]
fn one_row_is_a_list_of_numbers() {
    let request = read(r#"{"features": [1, -2.5e0], "request_id": "abc"}"#).unwrap();
    assert_eq!(numbers(&request), [1.0, -2.5]);
    assert!(!request.list);
    assert_eq!(request.request_id.as_deref(), Some("abc"));
}

#[test]
fn several_rows_are_a_list_of_lists() {
    let request = read(r#"{"features": [[1, 2], [3, 4], [5, 6]]}"#).unwrap();
    assert_eq!(numbers(&request), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert!(request.list);
    let one = read(r#"{"features": [[1, 2]]}"#).unwrap();
    assert!(one.list, "a list of one row is a list");
    assert_eq!(one.rows.get(), 1);
}

#[test]
fn other_fields_and_a_null_id_are_ignored() {
    let body = r#"{"x": {"features": [9]}, "request_id": null, "features": [1, 2], "y": [NULL]}"#;
    assert!(
        matches!(read(body), Err(InvalidRequest::Malformed(_))),
        "but they must be JSON"
    );
    let request =
        read(r#"{"x": {"features": [9]}, "request_id": null, "features": [1, 2]}"#).unwrap();
    assert_eq!(request.request_id, None);
    assert_eq!(numbers(&request), [1.0, 2.0]);
}

#[test]
fn numbers_up_to_the_largest_float_are_taken() {
    let request = read(r#"{"features": [3.4028234e38, -3.4028234e38]}"#).unwrap();
    assert_eq!(numbers(&request), [f32::MAX, f32::MIN]);
    let request = read(r#"{"features": [1e-400, 18446744073709551615]}"#).unwrap();
    assert_eq!(numbers(&request), [0.0, 18_446_744_073_709_551_615_f32]);
}

#[test]
fn what_is_not_a_json_object_is_malformed() {
    for body in [
        "",
        " ",
        "features",
        "[1, 2]",
        "null",
        r#""text""#,
        r#"{"features": [1, 2]"#,
        r#"{"features": [1, 2}"#,
        r#"{"features": [1 2]}"#,
        r#"{"features": [1, 2,]}"#,
        r#"{"features": [1, 2]} {}"#,
        r#"{"features": [1, 2], "features": [1, 2]}"#,
        r#"{"features": [1, 2], "request_id": "a", "request_id": "b"}"#,
        r#"{"features": [1, 2], "request_id": NaN}"#,
        r#"{"features": [1, nan_value]}"#,
        r#"{features: [1, 2]}"#,
    ] {
        assert!(
            matches!(read(body), Err(InvalidRequest::Malformed(_))),
            "{body}"
        );
    }
    assert!(matches!(
        parse(b"\xff\xfe", limits(2, 3)),
        Err(InvalidRequest::Malformed(_))
    ));
}

#[test]
fn missing_and_empty_features() {
    assert_field(
        "{}",
        "features",
        "is required: a list of 2 numbers, or a list of such lists",
    );
    assert_field(r#"{"features": []}"#, "features", "must not be empty");
    assert_field(r#"{"features": [[]]}"#, "features[0]", "must not be empty");
    assert_field(
        r#"{"features": [[1, 2], []]}"#,
        "features[1]",
        "must not be empty",
    );
}

#[test]
fn wrong_lengths_say_both_lengths() {
    let (one, three) = (
        "has 1 number, the model takes 2",
        "has 3 numbers, the model takes 2",
    );
    assert_field(r#"{"features": [1]}"#, "features", one);
    assert_field(r#"{"features": [1, 2, 3]}"#, "features", three);
    assert_field(r#"{"features": [[1, 2], [3]]}"#, "features[1]", one);
    assert_field(r#"{"features": [[1, 2, 3]]}"#, "features[0]", three);
    assert_field(
        r#"{"features": [[1, 2], [1, 2], [1, 2], [1, 2], [1, 2]]}"#,
        "features",
        "has 5 rows, the maximum is 3 (--max-batch-size)",
    );
}

#[test]
fn wrong_types_are_named() {
    for (value, found) in [
        ("null", "null"),
        ("true", "a boolean"),
        ("1.5", "a number"),
        (r#""1, 2""#, "a string"),
        (r#"{"a": 1}"#, "an object"),
    ] {
        let body = format!(r#"{{"features": {value}}}"#);
        assert_field(
            &body,
            "features",
            &format!("must be a list of 2 numbers, not {found}"),
        );
    }
    for (value, found) in [
        ("null", "null"),
        ("false", "a boolean"),
        (r#""1""#, "a string"),
        ("[1]", "a list"),
        ("{}", "an object"),
    ] {
        let expected = format!("must be a finite number, not {found}");
        assert_field(
            &format!(r#"{{"features": [1, {value}]}}"#),
            "features[1]",
            &expected,
        );
        let body = format!(r#"{{"features": [[1, 2], [3, {value}]]}}"#);
        assert_field(&body, "features[1][1]", &expected);
    }
    let expected = "must be a list of 2 numbers, not a number";
    assert_field(r#"{"features": [[1, 2], 3]}"#, "features[1]", expected);
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    for literal in ["NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "+NaN"] {
        let expected = format!("must be a finite number, not {literal}");
        assert_field(
            &format!(r#"{{"features": [1, {literal}]}}"#),
            "features[1]",
            &expected,
        );
        let body = format!("{{\n \"features\": [\n  [1, 2],\n  [{literal}, 3]\n ]\n}}");
        assert_field(&body, "features[1][0]", &expected);
    }
    for number in ["1e39", "-1e39", "1e999", "-1e999", "3.5e38"] {
        let expected = "is out of the range of 32-bit floats";
        assert_field(
            &format!(r#"{{"features": [1, {number}]}}"#),
            "features[1]",
            expected,
        );
    }
}

#[test]
fn request_ids_are_short_strings() {
    for (value, found) in [
        ("1", "a number"),
        ("true", "a boolean"),
        ("[]", "a list"),
        ("{}", "an object"),
    ] {
        let body = format!(r#"{{"features": [1, 2], "request_id": {value}}}"#);
        assert_field(
            &body,
            "request_id",
            &format!("must be a string, not {found}"),
        );
    }
    let id = "a".repeat(257);
    let body = format!(r#"{{"request_id": "{id}", "features": [1, 2]}}"#);
    assert_field(
        &body,
        "request_id",
        "has 257 bytes, at most 256 are allowed",
    );
    let escaped = read(r#"{"features": [1, 2], "request_id": "\u00fc\n"}"#).unwrap();
    assert_eq!(escaped.request_id.as_deref(), Some("ü\n"));
}

#[test]
fn deep_nesting_is_rejected_without_a_stack_overflow() {
    let body = format!(r#"{{"x": {}}}"#, "[".repeat(100_000));
    assert!(matches!(read(&body), Err(InvalidRequest::Malformed(_))));
}

#[test]
fn the_largest_sensible_body_fits_the_limit() {
    let limits = limits(64, 32);
    let row = vec![-1.234_567_890_123_456_7e-300; 64];
    let body = json!({ "features": vec![row; 32], "request_id": "x".repeat(256) });
    let pretty = serde_json::to_string_pretty(&body).unwrap();
    assert!(
        pretty.len() < limits.max_body_bytes(),
        "{} bytes",
        pretty.len()
    );
    assert!(parse(pretty.as_bytes(), limits).is_ok());
}

#[test]
fn the_limit_of_a_body_follows_the_model_up_to_a_bound() {
    assert_eq!(limits(4, 32).max_body_bytes(), 4 * 32 * 64 + 16 * 1024);
    assert_eq!(limits(usize::MAX, 4096).max_body_bytes(), 64 * 1024 * 1024);
}

proptest! {
    #[test]
    fn valid_rows_come_through_unchanged(
        rows in proptest::collection::vec(proptest::array::uniform2(-1e30_f32..1e30), 1..4),
    ) {
        let body = json!({ "features": rows }).to_string();
        let request = read(&body).unwrap();
        prop_assert_eq!(numbers(&request), rows.as_flattened());
    }

    #[test]
    fn no_body_makes_the_parser_panic(body in ".{0,80}", json in r#"[\[\]{}:,0-9eE.+\-"NaInfty ]{0,60}"#) {
        let _ = read(&body);
        let _ = read(&format!(r#"{{"features": {json}}}"#));
    }
}
