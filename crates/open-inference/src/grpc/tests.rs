use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use springtide_inference::{Data, ElementType};

use super::message::InferTensorContents;
use super::message::model_infer_request::InferRequestedOutputTensor;
use super::*;
use crate::Output;
use crate::limits::MAX_STRINGS;
use crate::test_tensors::any_tensor;

fn bits(tensor: &Tensor) -> (Vec<usize>, ElementType, Vec<u8>) {
    let mut bytes = Vec::new();
    raw::write(tensor.data().view(), &mut bytes);
    (tensor.shape().to_vec(), tensor.element(), bytes)
}

fn input_message(name: &str, tensor: &Tensor) -> InferInputTensor {
    InferInputTensor {
        name: name.to_owned(),
        datatype: datatype::name(tensor.element()).to_owned(),
        shape: tensor
            .shape()
            .iter()
            .map(|length| i64::try_from(*length).unwrap())
            .collect(),
        ..Default::default()
    }
}

/// The elements in typed lists; None for types that only go raw.
fn typed(tensor: &Tensor) -> Option<InferTensorContents> {
    let mut contents = InferTensorContents::default();
    match tensor.data().clone() {
        Data::Bool(values) => contents.bool_contents = values,
        Data::U8(numbers) => contents.uint_contents = numbers.into_iter().map(u32::from).collect(),
        Data::U16(numbers) => contents.uint_contents = numbers.into_iter().map(u32::from).collect(),
        Data::U32(numbers) => contents.uint_contents = numbers,
        Data::U64(numbers) => contents.uint64_contents = numbers,
        Data::I8(numbers) => contents.int_contents = numbers.into_iter().map(i32::from).collect(),
        Data::I16(numbers) => contents.int_contents = numbers.into_iter().map(i32::from).collect(),
        Data::I32(numbers) => contents.int_contents = numbers,
        Data::I64(numbers) => contents.int64_contents = numbers,
        Data::F32(numbers) => contents.fp32_contents = numbers,
        Data::F64(numbers) => contents.fp64_contents = numbers,
        Data::String(strings) => {
            contents.bytes_contents = strings.into_iter().map(Into::into).collect();
        }
        Data::F16(_) | Data::Bf16(_) => return None,
    }
    Some(contents)
}

fn read(message: &ModelInferRequest) -> Result<InferRequest, InvalidRequest> {
    let wire = message.encode_to_vec();
    ModelInferRequest::check(&wire)?;
    request(ModelInferRequest::decode(&*wire).unwrap(), &Limits::open())
}

proptest! {
    #[test]
    fn raw_contents_read_the_same(tensors in prop::collection::vec(any_tensor(), 0..4)) {
        let outputs = tensors.iter().map(|tensor| Output {
            name: "y",
            tensor: tensor.view(),
            binary: true,
        });
        let response = response(&InferResponse {
            model_name: "iris",
            model_version: "3",
            id: Some("abc"),
            outputs: outputs.collect(),
        });
        let message = ModelInferRequest {
            id: response.id,
            inputs: tensors.iter().map(|tensor| input_message("x", tensor)).collect(),
            raw_input_contents: response.raw_output_contents,
            ..Default::default()
        };
        let request = read(&message).unwrap();
        prop_assert_eq!(request.id.as_deref(), Some("abc"));
        let read: Vec<_> = request.inputs.iter().map(|input| bits(&input.tensor)).collect();
        prop_assert_eq!(read, tensors.iter().map(bits).collect::<Vec<_>>());
    }

    #[test]
    fn typed_contents_read_the_same(tensor in any_tensor()) {
        let Some(contents) = typed(&tensor) else {
            return Ok(());
        };
        let contents = Some(Box::new(contents));
        let input = InferInputTensor { contents, ..input_message("x", &tensor) };
        let request = read(&ModelInferRequest { inputs: vec![input], ..Default::default() });
        prop_assert_eq!(bits(&request.unwrap().inputs[0].tensor), bits(&tensor));
    }

    #[test]
    fn no_bytes_panic(wire in prop::collection::vec(any::<u8>(), 0..256)) {
        if ModelInferRequest::check(&wire).is_ok()
            && let Ok(message) = ModelInferRequest::decode(&*wire)
        {
            let _any_result = request(message, &Limits::open());
        }
    }

    #[test]
    fn no_change_of_a_valid_request_panics(
        tensor in any_tensor(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let contents = typed(&tensor).map(Box::new);
        let input = InferInputTensor { contents, ..input_message("x", &tensor) };
        let message = ModelInferRequest { inputs: vec![input], ..Default::default() };
        let mut wire = message.encode_to_vec();
        let at = at.index(wire.len());
        wire[at] = byte;
        if ModelInferRequest::check(&wire).is_ok()
            && let Ok(message) = ModelInferRequest::decode(&*wire)
        {
            let _any_result = request(message, &Limits::open());
        }
    }
}

fn zeros(element: ElementType, shape: &[usize]) -> Tensor {
    Tensor::zeros(element, shape.to_vec()).unwrap()
}

fn raw(tensor: &Tensor) -> bytes::Bytes {
    bits(tensor).2.into()
}

#[test]
fn raw_and_typed_contents_do_not_mix() {
    let tensor = zeros(ElementType::I32, &[1]);
    let message = |contents: Option<InferTensorContents>, count| ModelInferRequest {
        inputs: vec![InferInputTensor {
            contents: contents.map(Box::new),
            ..input_message("x", &tensor)
        }],
        raw_input_contents: vec![raw(&tensor); count],
        ..Default::default()
    };
    let refused = read(&message(typed(&tensor), 1)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"input "x": has contents beside raw_input_contents"#
    );
    assert!(read(&message(Some(InferTensorContents::default()), 1)).is_ok());
    let refused = read(&message(None, 2)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "raw_input_contents has 2 entries for 1 inputs"
    );
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let contents = |contents: InferTensorContents| Some(Box::new(contents));
    let tensor = |element| zeros(element, &[1]);
    let message = |element| input_message("x", &tensor(element));
    let sized = |shape: &[i64]| InferInputTensor {
        shape: shape.to_vec(),
        ..message(ElementType::F32)
    };
    for (input, problem) in [
        (
            InferInputTensor {
                contents: contents(InferTensorContents {
                    int_contents: vec![300],
                    ..Default::default()
                }),
                ..message(ElementType::I8)
            },
            "int_contents[0] is 300, which the datatype can't hold",
        ),
        (
            InferInputTensor {
                contents: contents(InferTensorContents {
                    int_contents: vec![1],
                    ..Default::default()
                }),
                ..message(ElementType::F32)
            },
            "int_contents has 1 elements, 0 are expected",
        ),
        (
            InferInputTensor {
                contents: contents(InferTensorContents {
                    bytes_contents: vec![vec![0xff].into()],
                    ..Default::default()
                }),
                ..message(ElementType::String)
            },
            "string 0 isn't UTF-8, which strings must be",
        ),
        (
            message(ElementType::F32),
            "fp32_contents has 0 elements, 1 are expected",
        ),
        (
            message(ElementType::F16),
            "16-bit floats need raw_input_contents",
        ),
        (sized(&[-1]), "shape [-1] has a negative length"),
        (
            sized(&[i64::MAX, 2]),
            "the shape [9223372036854775807, 2] is too large",
        ),
        (sized(&[1; 17]), "shape has more than 16 dimensions"),
        (
            InferInputTensor {
                datatype: "FLOAT".to_owned(),
                ..message(ElementType::F32)
            },
            "datatype is \"FLOAT\", not one of BOOL",
        ),
    ] {
        let inputs = vec![input];
        let refused = read(&ModelInferRequest {
            inputs,
            ..Default::default()
        })
        .unwrap_err();
        let expected = format!(r#"input "x": {problem}"#);
        assert!(refused.to_string().starts_with(&expected), "{refused}");
    }
}

#[test]
fn parameters_mean_what_they_mean_over_http() {
    let parameters = |name: &str, choice| {
        let parameter_choice = Some(choice);
        [(name.to_owned(), InferParameter { parameter_choice })].into()
    };
    let timed = ModelInferRequest {
        parameters: parameters("timeout", ParameterChoice::Int64Param(1500)),
        ..Default::default()
    };
    let timeout = read(&timed).unwrap().timeout;
    assert_eq!(timeout, Some(std::time::Duration::from_micros(1500)));
    let sequence = ModelInferRequest {
        parameters: parameters("sequence_id", ParameterChoice::Uint64Param(7)),
        ..Default::default()
    };
    let classified = ModelInferRequest {
        outputs: vec![InferRequestedOutputTensor {
            name: "y".to_owned(),
            parameters: parameters("classification", ParameterChoice::Int64Param(3)),
        }],
        ..Default::default()
    };
    for request in [sequence, classified] {
        let refused = read(&request).unwrap_err();
        assert!(
            matches!(refused, InvalidRequest::Unsupported(_)),
            "{refused}"
        );
    }
}

#[test]
fn ids_are_short() {
    let id = "x".repeat(257);
    let refused = read(&ModelInferRequest {
        id,
        ..Default::default()
    })
    .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "id has 257 bytes, at most 256 are allowed"
    );
}

#[test]
fn the_only_answer_on_a_stream_is_its_last() {
    let response = final_response(ModelInferResponse::default());
    assert_eq!(
        response.parameters[FINAL_RESPONSE].parameter_choice,
        Some(ParameterChoice::BoolParam(true))
    );
}

#[test]
fn raw_strings_are_bounded_in_all_inputs_together() {
    let half = MAX_STRINGS / 2 + 1;
    let input = InferInputTensor {
        name: "x".to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![i64::try_from(half).unwrap()],
        ..Default::default()
    };
    let raw = Bytes::from(vec![0; 4 * half]);
    let refused = read(&ModelInferRequest {
        inputs: vec![input.clone(), input],
        raw_input_contents: vec![raw.clone(), raw],
        ..Default::default()
    });
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("at most 524287 are allowed"), "{refused}");
}

#[test]
fn names_of_outputs_are_bounded() {
    let output = |length| InferRequestedOutputTensor {
        name: "y".repeat(length),
        ..Default::default()
    };
    let named = |length| {
        read(&ModelInferRequest {
            outputs: vec![output(length)],
            ..Default::default()
        })
    };
    assert!(named(MAX_NAME_BYTES).is_ok());
    assert!(named(MAX_NAME_BYTES + 1).is_err());
}
