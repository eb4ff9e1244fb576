//! The raw bytes of a tensor of strings. The first byte is the number of strings.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use springtide_fuzz::answer;
use springtide_open_inference::Limits;
use springtide_open_inference::grpc;
use springtide_open_inference::grpc::message::ModelInferRequest;
use springtide_open_inference::grpc::message::model_infer_request::InferInputTensor;

fuzz_target!(|input: &[u8]| {
    let Some((count, raw)) = input.split_first() else {
        return;
    };
    let raw = Bytes::copy_from_slice(raw);
    let message = ModelInferRequest {
        inputs: vec![InferInputTensor {
            name: "x".to_owned(),
            datatype: "BYTES".to_owned(),
            shape: vec![i64::from(*count)],
            ..Default::default()
        }],
        raw_input_contents: vec![raw.clone()],
        ..Default::default()
    };
    if let Ok(request) = grpc::request(message, &Limits::open()) {
        assert_eq!(
            grpc::response(&answer(&request, true)).raw_output_contents,
            [raw]
        );
    }
});
