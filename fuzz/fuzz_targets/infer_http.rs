//! The body of an inference request over HTTP. JSON up to the first line feed, binary tensors after
//! it, so that seeds can be read.

#![no_main]

use std::num::NonZeroUsize;

use libfuzzer_sys::fuzz_target;
use springtide_fuzz::{answer, signature};
use springtide_open_inference::{InferRequest, Limits, http};

fuzz_target!(|body: &[u8]| {
    let signature = signature();
    let json_length = body.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
    for limits in [
        Limits::new(&signature, NonZeroUsize::new(4)),
        Limits::open(),
    ] {
        check(http::parse_request(body, None, &limits));
        check(http::parse_request(body, json_length, &limits));
    }
    check(http::parse_raw_request(body, &signature));
});

/// What can be read can be answered with its own inputs, in both forms.
fn check<E>(request: Result<InferRequest, E>) {
    let Ok(request) = request else { return };
    let binary = http::write_response(&answer(&request, true));
    assert!(binary.is_ok(), "raw bytes hold everything");
    if let Ok(body) = http::write_response(&answer(&request, false)) {
        assert_eq!(body.json_length, None);
        let json =
            serde_json::from_slice::<serde_json::Value>(&body.bytes).expect("answers are JSON");
        assert_eq!(
            json["outputs"].as_array().map(Vec::len),
            Some(request.inputs.len())
        );
    }
    let _ = request.resolve(&signature());
}
