use proptest::prelude::*;
use serde_json::json;
use springtide_inference::{Data, DataView, Dimension, ElementType, Port, Signature, Tensor};

use super::*;
use crate::request::FieldError;

const ANY: Dimension = Dimension::Any;

fn table_of(inputs: &[(&str, ElementType, &[Dimension])]) -> Table {
    let ports = inputs
        .iter()
        .map(|(name, element, shape)| Port::tensor(*name, *element, *shape));
    let signature = Signature {
        inputs: ports.collect(),
        outputs: vec![],
    };
    Table::new(&signature, &[]).unwrap()
}

fn features(width: usize) -> Table {
    table_of(&[("x", ElementType::F32, &[ANY, Dimension::Fixed(width)])])
}

fn rows(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// A model with two features, and three rows at most.
fn read(body: &str) -> Result<TableRequest, InvalidRequest> {
    parse(body.as_bytes(), &features(2), rows(3), Protocol::Predict)
}

#[track_caller]
fn assert_field(body: &str, field: &str, problem: &str) {
    let expected = InvalidRequest::Field(FieldError::new(field, problem));
    assert_eq!(read(body), Err(expected), "{body}");
}

fn numbers(request: &TableRequest) -> &[f32] {
    let DataView::F32(numbers) = request.inputs[0].data().view() else {
        panic!("not floats")
    };
    numbers
}

#[test]
fn one_row_is_a_list_of_numbers() {
    let request = read(r#"{"features": [1, -2.5e0], "request_id": "abc"}"#).unwrap();
    assert_eq!(numbers(&request), [1.0, -2.5]);
    assert!(!request.list);
    assert_eq!(request.options.request_id.as_deref(), Some("abc"));
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
    assert_eq!(request.options.request_id, None);
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
        parse(b"\xff\xfe", &features(2), rows(3), Protocol::Predict),
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
    assert_eq!(escaped.options.request_id.as_deref(), Some("ü\n"));
}

#[test]
fn deep_nesting_is_rejected_without_a_stack_overflow() {
    let body = format!(r#"{{"x": {}}}"#, "[".repeat(100_000));
    assert!(matches!(read(&body), Err(InvalidRequest::Malformed(_))));
}

#[test]
fn the_largest_sensible_body_fits_the_limit() {
    let table = features(64);
    let row = vec![-1.234_567_890_123_456_7e-300; 64];
    let body = json!({ "features": vec![row; 32], "request_id": "x".repeat(256) });
    let pretty = serde_json::to_string_pretty(&body).unwrap();
    assert!(
        pretty.len() < max_body_bytes(&table, rows(32)),
        "{} bytes",
        pretty.len()
    );
    assert!(parse(pretty.as_bytes(), &table, rows(32), Protocol::Predict).is_ok());
}

#[test]
fn the_limit_of_a_body_follows_the_model_up_to_a_bound() {
    let name_and_quotes = 32 * (1 + 8);
    assert_eq!(
        max_body_bytes(&features(4), rows(32)),
        4 * 32 * 64 + name_and_quotes + 16 * 1024
    );
    assert_eq!(
        max_body_bytes(&features(usize::MAX), rows(4096)),
        64 * 1024 * 1024
    );
}

proptest! {
    #[test]
    fn valid_rows_come_through_unchanged(
        given in proptest::collection::vec(proptest::array::uniform2(-1e30_f32..1e30), 1..4),
    ) {
        let body = json!({ "features": given }).to_string();
        let request = read(&body).unwrap();
        prop_assert_eq!(numbers(&request), given.as_flattened());
    }

    #[test]
    fn no_body_makes_the_parser_panic(body in ".{0,80}", json in r#"[\[\]{}:,0-9eE.+\-"NaInfty ]{0,60}"#) {
        let _ = read(&body);
        let _ = read(&format!(r#"{{"features": {json}}}"#));
    }
}

/// Five columns as scikit-learn's pipelines have them, and two rows at most.
fn passengers() -> Table {
    table_of(&[
        ("age", ElementType::F32, &[ANY, Dimension::Fixed(1)]),
        ("pclass", ElementType::I64, &[ANY, Dimension::Fixed(1)]),
        ("sex", ElementType::String, &[ANY]),
    ])
}

fn read_named(body: &str) -> Result<TableRequest, InvalidRequest> {
    parse(body.as_bytes(), &passengers(), rows(2), Protocol::Predict)
}

#[track_caller]
fn assert_named(body: &str, field: &str, problem: &str) {
    let expected = InvalidRequest::Field(FieldError::new(field, problem));
    assert_eq!(read_named(body), Err(expected), "{body}");
}

fn data(request: &TableRequest) -> Vec<Data> {
    request
        .inputs
        .iter()
        .map(|input| input.data().clone())
        .collect()
}

#[test]
fn rows_are_objects_of_columns_in_any_order() {
    let body = r#"{"rows": [{"age": 36.5, "pclass": 3, "sex": "male"},
                            {"sex": "female", "age": null, "pclass": 1.0}],
                   "probabilities": true, "top_k": 2}"#;
    let request = read_named(body).unwrap();
    assert_eq!(
        (request.rows.get(), request.list, request.source),
        (2, true, Source::Rows)
    );
    assert!(request.options.probabilities);
    assert_eq!(request.options.top_k, NonZeroUsize::new(2));
    let shapes: Vec<&[usize]> = request.inputs.iter().map(Tensor::shape).collect();
    assert_eq!(shapes, [&[2, 1][..], &[2, 1], &[2]]);
    let [Data::F32(ages), classes, sexes] = &*data(&request) else {
        panic!("no floats")
    };
    assert!((ages[0] - 36.5).abs() < f32::EPSILON && ages[1].is_nan());
    assert_eq!(*classes, Data::I64(vec![3, 1]));
    assert_eq!(
        *sexes,
        Data::String(vec!["male".to_owned(), "female".to_owned()])
    );
}

#[test]
fn columns_are_lists_of_equal_length() {
    let body = r#"{"columns": {"sex": ["male", "female"], "pclass": [3, 1], "age": [1, 2]}}"#;
    let request = read_named(body).unwrap();
    assert_eq!((request.rows.get(), request.source), (2, Source::Columns));
    assert_eq!(data(&request)[1], Data::I64(vec![3, 1]));
    assert_named(
        r#"{"columns": {"sex": ["male"], "pclass": [3, 1], "age": [1]}}"#,
        "columns.pclass",
        "has 2 values, columns.sex has 1",
    );
    assert_named(
        r#"{"columns": {"sex": ["male"], "age": [1]}}"#,
        "columns.pclass",
        "is missing",
    );
    assert_named(
        r#"{"columns": {"sex": "male"}}"#,
        "columns.sex",
        "must be a list of strings, not a string",
    );
    assert_named(
        r#"{"columns": {"age": [1, "x"]}}"#,
        "columns.age[1]",
        "must be a finite number, not a string",
    );
    assert_named(
        r#"{"columns": {"age": [1, 2, 3], "sex": ["", "", ""], "pclass": [1, 2, 3]}}"#,
        "columns",
        "has 3 rows, the maximum is 2 (--max-batch-size)",
    );
    assert_named(
        r#"{"columns": [1]}"#,
        "columns",
        "must be an object with a list for each column, not a list",
    );
}

#[test]
fn columns_that_are_unknown_missing_or_doubled_are_named_with_their_row() {
    let row = r#"{"age": 1, "pclass": 3, "sex": "male"}"#;
    for (second, field, problem) in [
        (
            r#"{"age": 1, "sex": "male"}"#,
            "rows[1].pclass",
            "is missing",
        ),
        ("{}", "rows[1].age", "is missing"),
        (
            r#"{"agee": 1}"#,
            "rows[1].agee",
            "is no column of the model, which has the columns age, pclass, sex",
        ),
        (r#"{"age": 1, "age": 1}"#, "rows[1].age", "appears twice"),
        (
            r#"{"pclass": null}"#,
            "rows[1].pclass",
            "must be an integer, not null",
        ),
        (
            r#"{"pclass": 1.5}"#,
            "rows[1].pclass",
            "must be an integer, not 1.5",
        ),
        (
            r#"{"pclass": [1]}"#,
            "rows[1].pclass",
            "must be an integer, not a list",
        ),
        (
            r#"{"sex": null}"#,
            "rows[1].sex",
            "must be a string, not null",
        ),
        (
            r#"{"sex": {}}"#,
            "rows[1].sex",
            "must be a string, not an object",
        ),
        (
            r#"{"age": NaN}"#,
            "rows[1].age",
            "must be a finite number, not NaN",
        ),
        (
            r#"{"age": 1e39}"#,
            "rows[1].age",
            "is out of the range of 32-bit floats",
        ),
        (
            "[1]",
            "rows[1]",
            "must be an object with the model's columns, not a list",
        ),
        (
            "3",
            "rows[1]",
            "must be an object with the model's columns, not a number",
        ),
    ] {
        assert_named(&format!(r#"{{"rows": [{row}, {second}]}}"#), field, problem);
    }
    assert_named(
        &format!(r#"{{"rows": [{row}, {row}, {row}, 5]}}"#),
        "rows",
        "has 4 rows, the maximum is 2 (--max-batch-size)",
    );
    assert_named(r#"{"rows": []}"#, "rows", "must not be empty");
    assert_named(
        r#"{"rows": {}}"#,
        "rows",
        "must be a list of objects, not an object",
    );
}

#[test]
fn a_model_with_columns_takes_no_features_and_shows_an_example_of_a_row() {
    assert_named(
        r#"{"features": [1, 2, 3]}"#,
        "features",
        "can't be used, since the model has several inputs: send rows with the columns age, pclass, sex",
    );
    assert_named(
        "{}",
        "rows",
        r#"is required: a list of objects with the model's columns, {"age": 0.0, "pclass": 0, "sex": ""}"#,
    );
    let both = r#"{"rows": [{"age": 1, "pclass": 3, "sex": "male"}], "columns": {}}"#;
    assert_named(both, "columns", "can't be combined with rows");
}

#[test]
fn options_have_their_types() {
    for (option, field, problem) in [
        (
            r#""probabilities": 1"#,
            "probabilities",
            "must be true or false, not a number",
        ),
        (
            r#""top_k": 0"#,
            "top_k",
            "must be a positive integer, not 0",
        ),
        (
            r#""top_k": -1"#,
            "top_k",
            "must be a positive integer, not a number",
        ),
        (
            r#""top_k": "all""#,
            "top_k",
            "must be a positive integer, not a string",
        ),
    ] {
        assert_field(
            &format!(r#"{{"features": [1, 2], {option}}}"#),
            field,
            problem,
        );
    }
}

#[test]
fn columns_wider_than_one_value_are_lists() {
    let table = table_of(&[
        ("x", ElementType::F64, &[ANY, Dimension::Fixed(2)]),
        ("y", ElementType::String, &[ANY, Dimension::Fixed(1)]),
    ]);
    let read = |body: &str| parse(body.as_bytes(), &table, rows(3), Protocol::Predict);
    let expected = [
        Data::F64(vec![1.0, 2.0, 3.0, 4.0]),
        Data::String(vec!["a".to_owned(), "b".to_owned()]),
    ];
    for body in [
        r#"{"rows": [{"x": [1, 2], "y": "a"}, {"y": "b", "x": [3, 4]}]}"#,
        r#"{"columns": {"y": ["a", "b"], "x": [[1, 2], [3, 4]]}}"#,
    ] {
        assert_eq!(data(&read(body).unwrap()), expected);
    }
    for (body, field, problem) in [
        (
            r#"{"rows": [{"x": [1]}]}"#,
            "rows[0].x",
            "has 1 number, the model takes 2",
        ),
        (
            r#"{"rows": [{"x": [1, 2, 3]}]}"#,
            "rows[0].x",
            "has 3 numbers, the model takes 2",
        ),
        (
            r#"{"rows": [{"x": 1}]}"#,
            "rows[0].x",
            "must be a list of 2 numbers, not a number",
        ),
        (
            r#"{"columns": {"x": [[1, true]]}}"#,
            "columns.x[0][1]",
            "must be a finite number, not a boolean",
        ),
        (
            r#"{"columns": {"x": [1]}}"#,
            "columns.x[0]",
            "must be a list of 2 numbers, not a number",
        ),
    ] {
        let expected = InvalidRequest::Field(FieldError::new(field, problem));
        assert_eq!(read(body), Err(expected), "{body}");
    }
}

#[test]
fn named_features_of_one_input_are_columns() {
    let input = Port::tensor("x", ElementType::F32, [ANY, Dimension::Fixed(2)]);
    let signature = Signature {
        inputs: vec![input],
        outputs: vec![],
    };
    let names = ["length", "width"].map(str::to_owned);
    let table = Table::new(&signature, &names).unwrap();
    let read = |body: &str| parse(body.as_bytes(), &table, rows(3), Protocol::Predict).unwrap();
    for body in [
        r#"{"rows": [{"width": 2, "length": 1}, {"length": 3, "width": 4}]}"#,
        r#"{"columns": {"width": [2, 4], "length": [1, 3]}}"#,
        r#"{"features": [[1, 2], [3, 4]]}"#,
    ] {
        assert_eq!(numbers(&read(body)), [1.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn features_may_be_integers_and_strings() {
    let integers = table_of(&[("x", ElementType::I64, &[ANY, Dimension::Fixed(2)])]);
    let read =
        |table: &Table, body: &str| parse(body.as_bytes(), table, rows(3), Protocol::Predict);
    let request = read(&integers, r#"{"features": [[1, 2], [3, 4]]}"#).unwrap();
    assert_eq!(data(&request), [Data::I64(vec![1, 2, 3, 4])]);
    let expected = InvalidRequest::Field(FieldError::new(
        "features",
        "has 1 integer, the model takes 2",
    ));
    assert_eq!(read(&integers, r#"{"features": [1]}"#), Err(expected));
    let text = table_of(&[("text", ElementType::String, &[ANY, Dimension::Fixed(1)])]);
    let request = read(&text, r#"{"features": ["free money"]}"#).unwrap();
    assert_eq!(
        data(&request),
        [Data::String(vec!["free money".to_owned()])]
    );
    assert!(!request.list);
}

#[test]
fn instances_are_rows_with_or_without_names() {
    let read = |table: &Table, body: &str| parse(body.as_bytes(), table, rows(3), Protocol::V1);
    let request = read(&features(2), r#"{"instances": [[1, 2], {"x": [3, 4]}]}"#).unwrap();
    assert_eq!(
        (numbers(&request), request.list),
        (&[1.0, 2.0, 3.0, 4.0][..], true)
    );
    let row = r#"{"age": 1, "pclass": 3, "sex": "male"}"#;
    let request = read(&passengers(), &format!(r#"{{"instances": [{row}]}}"#)).unwrap();
    assert_eq!(request.rows.get(), 1);
    let text = table_of(&[("text", ElementType::String, &[ANY])]);
    let request = read(&text, r#"{"instances": ["a", ["b"]]}"#).unwrap();
    assert_eq!(
        data(&request),
        [Data::String(vec!["a".to_owned(), "b".to_owned()])]
    );
    for (body, field, problem) in [
        ("{}", "instances", "is required: a list of rows"),
        (
            r#"{"features": [[1, 2]]}"#,
            "instances",
            "is required: a list of rows",
        ),
        (r#"{"instances": []}"#, "instances", "must not be empty"),
        (
            r#"{"instances": [1, 2]}"#,
            "instances[0]",
            "must be a list of 2 numbers, or an object with the model's columns, not a number",
        ),
    ] {
        let expected = InvalidRequest::Field(FieldError::new(field, problem));
        assert_eq!(read(&features(2), body), Err(expected), "{body}");
    }
}

proptest! {
    #[test]
    fn rows_and_columns_say_the_same(
        given in proptest::collection::vec((proptest::option::of(-1e30_f32..1e30), any::<i64>(), "[^\0]{0,8}"), 1..3),
    ) {
        let objects: Vec<_> = given.iter().map(|(age, class, sex)| json!({ "pclass": class, "age": age, "sex": sex })).collect();
        let by_rows = read_named(&json!({ "rows": objects }).to_string()).unwrap();
        let by_columns = read_named(&json!({ "columns": {
            "age": given.iter().map(|row| row.0).collect::<Vec<_>>(),
            "pclass": given.iter().map(|row| row.1).collect::<Vec<_>>(),
            "sex": given.iter().map(|row| row.2.clone()).collect::<Vec<_>>(),
        }}).to_string()).unwrap();
        // NaN differs from itself, but its text doesn't.
        prop_assert_eq!(format!("{:?}", by_rows.inputs), format!("{:?}", by_columns.inputs));
        prop_assert_eq!(&data(&by_rows)[1], &Data::I64(given.iter().map(|row| row.1).collect()));
    }

    #[test]
    fn no_named_body_makes_the_parser_panic(json in r#"[\[\]{}:,0-9eE.+\-"agesxpcl ]{0,60}"#) {
        let _ = read_named(&format!(r#"{{"rows": {json}}}"#));
        let _ = read_named(&format!(r#"{{"columns": {json}}}"#));
    }
}
