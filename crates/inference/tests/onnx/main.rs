//! The backend with the real ONNX Runtime for the processor.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod cancel;
mod examples;
mod external_data;
mod generated;
mod inputs;
mod provider;
mod refusals;
mod sessions;
mod support;
mod values;
