use proptest::prelude::*;
use serde_json::{Value, json};
use springtide_inference::{Data, ElementType, Port};

use super::*;
use crate::limits::MAX_STRINGS;
use crate::test_tensors::{any_tensor, finite_tensor};
use crate::{Output, RequestedOutput};

fn parse(json: &Value) -> Result<InferRequest, InvalidRequest> {
    parse_text(&json.to_string())
}

fn parse_text(json: &str) -> Result<InferRequest, InvalidRequest> {
    parse_request(json.as_bytes(), None, &Limits::open())
}

fn complaint(refused: Result<InferRequest, InvalidRequest>) -> String {
    refused.unwrap_err().to_string()
}

/// JSON, and bytes after it.
fn parse_binary(json: &Value, binary: &[u8]) -> Result<InferRequest, InvalidRequest> {
    let mut body = json.to_string().into_bytes();
    let length = body.len();
    body.extend_from_slice(binary);
    parse_request(&body, Some(length), &Limits::open())
}

fn binary_input(shape: &Value, datatype: &str, size: usize) -> Value {
    let parameters = json!({ "binary_data_size": size });
    json!({"name": "x", "shape": shape, "datatype": datatype, "parameters": parameters})
}

/// A request with the outputs of a response as its inputs.
fn as_request(body: &Body) -> (Vec<u8>, Option<usize>) {
    let json_length = body.json_length.unwrap_or(body.bytes.len());
    let json = str::from_utf8(&body.bytes[..json_length]).unwrap();
    let mut request = json.replacen("\"outputs\":", "\"inputs\":", 1).into_bytes();
    let json_length = body.json_length.map(|_| request.len());
    request.extend_from_slice(&body.bytes[json.len()..]);
    (request, json_length)
}

fn response<'a>(tensors: &'a [Tensor], binary: impl Fn(usize) -> bool) -> InferResponse<'a> {
    let outputs = tensors.iter().enumerate().map(|(index, tensor)| Output {
        name: "y",
        tensor: tensor.view(),
        binary: binary(index),
    });
    InferResponse {
        model_name: "iris",
        model_version: "3",
        id: Some("abc"),
        outputs: outputs.collect(),
    }
}

fn bits(tensor: &Tensor) -> (Vec<usize>, ElementType, Vec<u8>) {
    let mut bytes = Vec::new();
    raw::write(tensor.data().view(), &mut bytes);
    (tensor.shape().to_vec(), tensor.element(), bytes)
}

proptest! {
    #[test]
    fn what_json_and_binary_say_reads_the_same(
        tensors in prop::collection::vec((finite_tensor(), any::<bool>()), 0..4),
    ) {
        let (tensors, binary): (Vec<Tensor>, Vec<bool>) = tensors.into_iter().unzip();
        let body = write_response(&response(&tensors, |index| binary[index])).unwrap();
        prop_assert_eq!(body.json_length.is_some(), binary.contains(&true));
        let (request, json_length) = as_request(&body);
        let read = parse_request(&request, json_length, &Limits::open()).unwrap();
        prop_assert_eq!(read.id.as_deref(), Some("abc"));
        let read: Vec<_> = read.inputs.iter().map(|input| bits(&input.tensor)).collect();
        prop_assert_eq!(read, tensors.iter().map(bits).collect::<Vec<_>>());
    }

    #[test]
    fn binary_keeps_every_bit(tensor in any_tensor()) {
        let tensors = [tensor];
        let body = write_response(&response(&tensors, |_| true)).unwrap();
        let (request, json_length) = as_request(&body);
        let read = parse_request(&request, json_length, &Limits::open()).unwrap();
        prop_assert_eq!(bits(&read.inputs[0].tensor), bits(&tensors[0]));
    }

    #[test]
    fn no_bytes_panic(
        body in prop::collection::vec(any::<u8>(), 0..256),
        json_length in prop::option::of(0..300_usize),
    ) {
        let _any_result = parse_request(&body, json_length, &Limits::open());
    }

    #[test]
    fn no_change_of_a_valid_request_panics(
        tensor in finite_tensor(),
        binary in any::<bool>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let tensors = [tensor];
        let body = write_response(&response(&tensors, |_| binary)).unwrap();
        let (mut request, json_length) = as_request(&body);
        let at = at.index(request.len());
        request[at] = byte;
        let _any_result = parse_request(&request, json_length, &Limits::open());
    }
}

#[test]
fn a_request_is_read_with_all_that_it_says() {
    let request = parse(&json!({
        "model_name": "iris",
        "id": "abc",
        "parameters": {"timeout": 1500, "binary_data_output": true, "mine": {"a": 1.5}},
        "inputs": [
            {"name": "a", "shape": [2, 2], "datatype": "INT64", "data": [[1, 2], [3, 4]]},
            {"data": ["x", "y"], "datatype": "BYTES", "shape": [2], "name": "b", "other": null},
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": false, "classification": 0}}],
    }));
    let input = |name: &str, shape: &[usize], data: Data| Input {
        name: name.to_owned(),
        tensor: Tensor::new(shape.to_vec(), data).unwrap(),
    };
    let expected = InferRequest {
        id: Some("abc".to_owned()),
        timeout: Some(std::time::Duration::from_micros(1500)),
        inputs: vec![
            input("a", &[2, 2], vec![1_i64, 2, 3, 4].into()),
            input("b", &[2], vec!["x".to_owned(), "y".to_owned()].into()),
        ],
        outputs: vec![RequestedOutput {
            name: "y".to_owned(),
            binary: Some(false),
        }],
        binary_output: true,
    };
    assert_eq!(request, Ok(expected));
}

#[test]
fn null_stands_for_what_is_not_there() {
    let request = parse(&json!({"id": null, "parameters": null, "outputs": null, "inputs": []}));
    let request = request.unwrap();
    assert_eq!((request.id, request.outputs), (None, vec![]));
}

#[test]
fn complaints_say_where() {
    let input = |data: &str| {
        format!(r#"{{"inputs":[{{"name":"x","shape":[2],"datatype":"FP32","data":{data}}}]}}"#)
    };
    for (json, start) in [
        (
            input("[1,null]"),
            r#"inputs[0] "x": data[1]: invalid type: null, expected a number"#,
        ),
        (
            input("[1,2,3]"),
            r#"input "x": the shape [2] has 2 elements, not 3"#,
        ),
        (
            input("[[1],[2]]"),
            r#"inputs[0] "x": the lists of data aren't those of [2]"#,
        ),
        (
            input("[1,NaN]"),
            r#"inputs[0] "x": data[1]: expected value"#,
        ),
        (
            input("7"),
            r#"inputs[0] "x": data: invalid value: integer `7`, expected a list"#,
        ),
        (
            "[]".to_owned(),
            "invalid type: sequence, expected an object with the field inputs",
        ),
        ("{}".to_owned(), "inputs is required"),
        ("{".to_owned(), "EOF while parsing"),
        ("{\"inputs\":[]} x".to_owned(), "trailing characters"),
        (
            "{\"inputs\":[],\"inputs\":[]}".to_owned(),
            "inputs: is given twice",
        ),
        (
            "{\"inputs\":{}}".to_owned(),
            "inputs: invalid type: map, expected a list",
        ),
        (
            "{\"inputs\":[{}]}".to_owned(),
            "inputs[0]: shape is required",
        ),
        (
            r#"{"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]}"#.to_owned(),
            "inputs[0]: name is required",
        ),
        (
            r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}"#.to_owned(),
            r#"inputs[0] "x": data is required"#,
        ),
        (
            r#"{"inputs":[{"name":"x","datatype":"FLOAT"}]}"#.to_owned(),
            r#"inputs[0] "x": datatype: invalid value: string "FLOAT", expected one of BOOL"#,
        ),
        (
            r#"{"inputs":[{"name":"x","shape":[-1]}]}"#.to_owned(),
            r#"inputs[0] "x": shape: invalid value: integer `-1`"#,
        ),
        (
            format!(r#"{{"inputs":[{{"shape":{:?}}}]}}"#, [1; 17]),
            "inputs[0]: shape: has more than 16 dimensions",
        ),
        (
            format!(r#"{{"id":{:?}}}"#, "x".repeat(257)),
            "id: has 257 bytes, at most 256",
        ),
        (
            format!(r#"{{"inputs":[{{"name":{:?}}}]}}"#, "x".repeat(1025)),
            "inputs[0]: name: has 1025 bytes, at most 1024",
        ),
        (
            r#"{"inputs":[],"outputs":[{"name":"y"},{}]}"#.to_owned(),
            "outputs[1]: name is required",
        ),
        (
            r#"{"parameters":{"timeout":"soon"}}"#.to_owned(),
            "parameters: timeout must be an integer",
        ),
    ] {
        let complaint = complaint(parse_text(&json));
        let complaint = complaint.trim_start_matches("the JSON of the request: ");
        assert!(complaint.starts_with(start), "{json}: {complaint}");
    }
    let hint = "JSON has no NaN or infinity: send binary data";
    assert!(complaint(parse_text(&input("[NaN]"))).ends_with(hint));
    for wrong in ["[1,,2]", "[nul]", r#"["\ud800"]"#, r#"["\udc00"]"#] {
        let said = complaint(parse_text(&input(wrong)));
        assert!(!said.contains("NaN"), "{wrong}: {said}");
    }
}

#[test]
fn half_of_a_pair_of_surrogates_is_named() {
    for text in [r"\ud800", r"\ud800x", r"\udc00", r"a\ud83d\n"] {
        let json = format!(
            r#"{{"inputs":[{{"name":"x","shape":[1],"datatype":"BYTES","data":["{text}"]}}]}}"#
        );
        let said = complaint(parse_text(&json));
        assert!(said.contains("a surrogate"), "{text}: {said}");
        assert!(!said.contains("NaN"), "{text}: {said}");
    }
}

#[test]
fn complaints_say_where_though_the_elements_came_first() {
    let json = r#"{"inputs":[{"name":"x","data":[1,300],"shape":[2],"datatype":"UINT8"}]}"#;
    let complaint = complaint(parse_text(json));
    let expected = r#"inputs[0] "x": data[1]: invalid value: integer `300`, expected an integer from 0 to 255"#;
    assert!(complaint.contains(expected), "{complaint}");
}

#[test]
fn what_is_not_done_is_told_apart_from_what_is_wrong() {
    let shared = json!({"shared_memory_region": "r", "shared_memory_byte_size": 4});
    for request in [
        json!({"inputs": [], "parameters": {"sequence_id": 7}}),
        json!({"inputs": [{"name": "x", "parameters": shared}]}),
        json!({"inputs": [], "outputs": [{"name": "y", "parameters": {"classification": 3}}]}),
    ] {
        let refused = parse(&request).unwrap_err();
        let InvalidRequest::Unsupported(message) = refused else {
            panic!("{refused}");
        };
        assert!(!message.contains("at line"), "{message}");
    }
}

#[test]
fn lists_are_as_long_as_they_may_be() {
    let objects = vec!["{\"name\":\"y\"}"; 1025].join(",");
    let refused = parse_text(&format!("{{\"outputs\":[{objects}]}}"));
    assert!(complaint(refused).contains("more than 1024 are not allowed"));
    let parameters: Vec<String> = (0..65).map(|index| format!("\"{index}\":0")).collect();
    let refused = parse_text(&format!("{{\"parameters\":{{{}}}}}", parameters.join(",")));
    assert!(complaint(refused).contains("more than 64 are not allowed"));
    let rows = [Dimension::Fixed(3)];
    let signature = Signature {
        inputs: vec![Port::tensor("x", ElementType::F32, rows)],
        outputs: vec![],
    };
    let json = r#"{"inputs":[{"name":"x","shape":[4],"datatype":"FP32","data":[1,2,3,4]}]}"#;
    let refused = parse_request(json.as_bytes(), None, &Limits::new(&signature, None));
    assert!(complaint(refused).contains("data[3]: there are more than 3 elements"));
}

#[test]
fn binary_tensors_follow_in_their_order() {
    let mut second = binary_input(&json!([1]), "UINT16", 2);
    second["name"] = json!("z");
    let inputs = json!([binary_input(&json!([2]), "UINT8", 2), second]);
    let request = parse_binary(&json!({ "inputs": inputs }), &[1, 2, 3, 0]).unwrap();
    let data: Vec<_> = request
        .inputs
        .iter()
        .map(|input| input.tensor.data())
        .collect();
    assert_eq!(data, [&Data::U8(vec![1, 2]), &Data::U16(vec![3])]);
}

#[test]
fn binary_tensors_that_do_not_fit_are_named() {
    let huge = json!([u64::MAX, 2]);
    for (input, binary, problem) in [
        (
            binary_input(&json!([2]), "FP32", 4),
            &[0; 4][..],
            r#"input "x": 2 elements of 4 bytes are expected, there are 4 bytes"#,
        ),
        (
            binary_input(&json!([2]), "FP32", 8),
            &[0; 7],
            r#"input "x": binary_data_size is 8, 7 bytes are left"#,
        ),
        (
            binary_input(&json!([1]), "FP32", 4),
            &[0; 5],
            r#"input "x": 1 bytes follow its data"#,
        ),
        (
            binary_input(&huge, "FP32", 4),
            &[0; 4],
            r#"input "x": the shape [18446744073709551615, 2] is too large"#,
        ),
    ] {
        let refused = parse_binary(&json!({ "inputs": [input] }), binary);
        assert_eq!(complaint(refused), problem);
    }
    let refused = parse_binary(&json!({ "inputs": [] }), &[1]);
    assert_eq!(
        complaint(refused),
        "1 bytes follow the JSON, there is no input"
    );
    let refused = parse(&json!({ "inputs": [binary_input(&json!([1]), "FP32", 4)] }));
    assert!(complaint(refused).contains("needs the header inference-header-content-length"));
    let mut both = binary_input(&json!([1]), "FP32", 4);
    both["data"] = json!([1]);
    let refused = parse_binary(&json!({ "inputs": [both] }), &[0; 4]);
    assert!(complaint(refused).contains("has both data and binary_data_size"));
    let refused = parse_request(b"{}", Some(3), &Limits::open());
    assert!(complaint(refused).contains("says 3 bytes, the body has 2"));
}

#[test]
fn a_response_is_as_the_protocol_says() {
    let tensors = [
        Tensor::new(vec![2], vec![1.5_f32, 0.1]).unwrap(),
        Tensor::new(vec![1, 1], vec!["ä".to_owned()]).unwrap(),
    ];
    let body = write_response(&response(&tensors, |index| index == 1)).unwrap();
    let (json, binary) = body.bytes.split_at(body.json_length.unwrap());
    let expected = json!({
        "model_name": "iris", "model_version": "3", "id": "abc",
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [2], "data": [1.5, 0.1]},
            {
                "name": "y", "datatype": "BYTES", "shape": [1, 1],
                "parameters": {"binary_data_size": 6},
            },
        ],
    });
    assert_eq!(serde_json::from_slice::<Value>(json).unwrap(), expected);
    assert_eq!(binary, b"\x02\0\0\0\xc3\xa4");
}

#[test]
fn json_holds_no_nan_and_binary_does() {
    let tensors = [Tensor::new(vec![2], vec![1.0, f64::NAN]).unwrap()];
    let refused = write_response(&response(&tensors, |_| false)).unwrap_err();
    let (name, element) = ("y".to_owned(), 1);
    assert_eq!(refused, NotFinite { name, element });
    assert!(write_response(&response(&tensors, |_| true)).is_ok());
}

fn raw_signature(element: ElementType, shape: &[Dimension]) -> Signature {
    Signature {
        inputs: vec![Port::tensor("x", element, shape)],
        outputs: vec![Port::tensor("y", element, [Dimension::Any])],
    }
}

#[test]
fn a_raw_request_is_one_row() {
    let (any, four) = (Dimension::Any, Dimension::Fixed(4));
    for (shape, bytes, expected) in [
        (&[any, four][..], 4, vec![1, 4]),
        (&[any, any], 3, vec![1, 3]),
        (&[four, any], 12, vec![4, 3]),
        (&[four], 4, vec![4]),
        (&[any], 1, vec![1]),
    ] {
        let request = parse_raw_request(&vec![0; bytes], &raw_signature(ElementType::U8, shape));
        let request = request.unwrap();
        assert_eq!(request.inputs[0].tensor.shape(), expected);
        assert!(request.binary_output);
    }
    let text = parse_raw_request("ä".as_bytes(), &raw_signature(ElementType::String, &[any]));
    let expected = Data::String(vec!["ä".to_owned()]);
    assert_eq!(text.unwrap().inputs[0].tensor.data(), &expected);
}

#[test]
fn a_raw_request_must_fit() {
    let (any, four) = (Dimension::Any, Dimension::Fixed(4));
    for (shape, bytes) in [
        (&[any, four][..], 8),
        (&[four, any], 13),
        (&[any, any, any], 4),
        (&[four], 3),
    ] {
        let signature = raw_signature(ElementType::U8, shape);
        let refused = parse_raw_request(&vec![0; bytes], &signature);
        assert!(refused.is_err(), "{shape:?} from {bytes} bytes");
    }
    assert!(parse_raw_request(b"a", &raw_signature(ElementType::String, &[four])).is_err());
    let mut two = raw_signature(ElementType::U8, &[four]);
    two.inputs.extend(two.inputs.clone());
    assert!(parse_raw_request(&[0; 4], &two).is_err());
}

#[test]
fn strings_are_bounded_in_all_inputs_together() {
    let half = MAX_STRINGS / 2 + 1;
    let input = json!({"name": "x", "shape": [half], "datatype": "BYTES", "data": vec![""; half]});
    let refused = complaint(parse(&json!({"inputs": [input, input]})));
    assert!(
        refused.contains("inputs[1] \"x\": data[524287]"),
        "{refused}"
    );

    let input = binary_input(&json!([half]), "BYTES", 4 * half);
    let json = json!({"inputs": [input, input]});
    let refused = complaint(parse_binary(&json, &vec![0; 8 * half]));
    assert!(refused.contains("at most 524287 are allowed"), "{refused}");
}

#[test]
fn numbers_take_no_more_memory_than_is_told_before_they_are_read() {
    for (shape, data, bytes) in [
        ("[0]", "[]", 0),
        ("[1]", "[1]", 8),
        ("[2, 2]", "[[1,2],[3,4]]", 32),
    ] {
        let text = format!(
            r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"FP64","data":{data}}}]}}"#
        );
        let request = parse_text(&text).unwrap();
        assert_eq!(raw::size(request.inputs[0].tensor.data().view()), bytes);
        assert!(most_bytes_of_numbers(text.as_bytes()) >= bytes, "{data}");
    }
    assert_eq!(most_bytes_of_numbers(b"[1,2,3]"), 24);
}
