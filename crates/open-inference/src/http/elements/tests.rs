use super::*;

fn read(element: ElementType, json: &str) -> Result<Elements, (Option<usize>, String)> {
    let mut failed_at = None;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    super::read(
        &mut deserializer,
        element,
        MaxElements::of(10),
        &mut failed_at,
    )
    .map_err(|error| (failed_at, error.to_string()))
}

fn data(element: ElementType, json: &str) -> Data {
    read(element, json).unwrap().data
}

#[test]
fn integers_are_exact_to_their_last_bit() {
    assert_eq!(
        data(ElementType::U64, "[18446744073709551615]"),
        Data::U64(vec![u64::MAX])
    );
    assert_eq!(
        data(
            ElementType::I64,
            "[-9223372036854775808, 9223372036854775807]"
        ),
        Data::I64(vec![i64::MIN, i64::MAX])
    );
}

#[test]
fn what_a_type_cannot_hold_is_refused_with_what_it_can() {
    for (element, json, expected) in [
        (ElementType::U8, "[256]", "an integer from 0 to 255"),
        (ElementType::I8, "[-129]", "an integer from -128 to 127"),
        (
            ElementType::U64,
            "[-1]",
            "an integer from 0 to 18446744073709551615",
        ),
        (ElementType::I64, "[1.0]", "an integer from"),
        (ElementType::I64, "[9223372036854775808]", "an integer from"),
        (ElementType::F32, "[1e39]", "a number that FP32 can hold"),
        (ElementType::F16, "[65520]", "a number that FP16 can hold"),
        (ElementType::F32, "[\"1\"]", "a number that FP32 can hold"),
        (ElementType::F32, "[null]", "a number that FP32 can hold"),
        (ElementType::F32, "[{}]", "a number that FP32 can hold"),
        (ElementType::Bool, "[2]", "true, false, 0 or 1"),
        (ElementType::String, "[1]", "a string without NUL"),
        (ElementType::String, "[\"\\u0000\"]", "a string without NUL"),
        (ElementType::F32, "1", "a list whose elements are each"),
    ] {
        let (_, message) = read(element, json).unwrap_err();
        assert!(
            message.contains(&format!("expected {expected}")),
            "{message}"
        );
    }
}

#[test]
fn floats_are_rounded_to_the_nearest() {
    assert_eq!(
        data(ElementType::F32, "[0.1, 3]"),
        Data::F32(vec![0.1, 3.0])
    );
    let halves = [0.1, -2.0].map(f16::from_f64).to_vec();
    assert_eq!(data(ElementType::F16, "[0.1, -2]"), Data::F16(halves));
    let halves = [0.1, 7.0].map(bf16::from_f64).to_vec();
    assert_eq!(data(ElementType::Bf16, "[0.1, 7]"), Data::Bf16(halves));
}

#[test]
fn truth_may_be_a_number() {
    let expected = Data::Bool(vec![true, false, true, false]);
    assert_eq!(data(ElementType::Bool, "[true, false, 1, 0]"), expected);
}

#[test]
fn it_is_known_which_element_is_wrong() {
    let (failed_at, _) = read(ElementType::F32, "[[1, 2], [3, true]]").unwrap_err();
    assert_eq!(failed_at, Some(3));
    let (failed_at, message) = read(ElementType::F32, "[1, NaN]").unwrap_err();
    assert_eq!(failed_at, Some(1), "{message}");
    let (failed_at, _) = read(ElementType::F32, "[1, 1e999]").unwrap_err();
    assert_eq!(failed_at, Some(1));
}

#[test]
fn lists_are_regular() {
    for (json, problem) in [
        ("[[1, 2], [3]]", "the lists differ in length"),
        ("[[1], 2]", "lists and elements are mixed"),
        ("[1, [2]]", "lists and elements are mixed"),
        ("[[], 1]", "lists and elements are mixed"),
        ("[[[1]], [2]]", "lists and elements are mixed"),
        (
            "[1,2,3,4,5,6,7,8,9,10,11]",
            "there are more than 10 elements",
        ),
    ] {
        let (_, message) = read(ElementType::F32, json).unwrap_err();
        assert!(message.starts_with(problem), "{json}: {message}");
    }
    let deep = format!("{}{}", "[".repeat(17), "]".repeat(17));
    let (_, message) = read(ElementType::F32, &deep).unwrap_err();
    assert!(
        message.starts_with("the lists are nested too deeply"),
        "{message}"
    );
}

#[test]
fn lists_fit_their_shape_or_are_flat() {
    let fits = |json, shape: &[usize]| read(ElementType::F32, json).unwrap().lists.fit(shape);
    assert!(fits("[1, 2, 3, 4]", &[2, 2]));
    assert!(fits("[[1, 2], [3, 4]]", &[2, 2]));
    assert!(fits("[[], []]", &[2, 0]));
    assert!(fits("[[], []]", &[2, 0, 3]));
    assert!(fits("[]", &[0, 3]));
    assert!(!fits("[[1, 2], [3, 4]]", &[4]));
    assert!(!fits("[[1, 2], [3, 4]]", &[4, 1]));
    assert!(!fits("[[1, 2], [3, 4]]", &[2, 2, 1]));
    assert!(!fits("[[], []]", &[0]));
}
