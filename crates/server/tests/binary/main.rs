//! The real binary: `serve` on loopback with the real ONNX Runtime and the example models, and
//! `fetch` from servers made here.

mod fetch;
mod lifecycle;
mod predictions;
mod refusals;
mod startup;
mod support;
