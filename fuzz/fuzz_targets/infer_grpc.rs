//! The message of an inference request over gRPC.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use springtide_fuzz::{answer, signature};
use springtide_open_inference::grpc::message::ModelInferRequest;
use springtide_open_inference::grpc::{self, Bounded};
use springtide_open_inference::{InferRequest, Limits};

fuzz_target!(|wire: &[u8]| {
    if ModelInferRequest::check(wire).is_err() {
        return;
    }
    let Ok(message) = ModelInferRequest::decode(wire) else {
        return;
    };
    let Ok(request) = grpc::request(message.clone(), &Limits::open()) else {
        return;
    };
    check_round_trip(&message, &request);
    let _ = request.resolve(&signature());
});

/// The same tensors as raw contents read the same: compared as bytes, since NaN isn't itself.
fn check_round_trip(message: &ModelInferRequest, request: &InferRequest) {
    let raw = grpc::response(&answer(request, true)).raw_output_contents;
    let mut again = message.clone();
    for input in &mut again.inputs {
        input.contents = None;
    }
    again.raw_input_contents = raw.clone();
    let again = grpc::request(again, &Limits::open()).expect("what was read is valid");
    assert_eq!(
        grpc::response(&answer(&again, true)).raw_output_contents,
        raw
    );
}
