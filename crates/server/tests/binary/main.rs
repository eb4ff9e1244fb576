//! The real binary: `serve` on loopback with the real ONNX Runtime and the example models, and
//! `fetch` from servers made here.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod attack;
mod batching;
mod cgroup;
mod connections;
mod counters;
mod drain;
mod environment;
mod fetch;
mod floods;
mod hazards;
mod http2;
mod inputs;
mod inspect;
mod lifecycle;
mod memory;
mod models;
mod predictions;
mod rejections;
mod startup;
mod status;
mod support;
mod text_case;
