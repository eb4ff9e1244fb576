//! Models on ONNX Runtime.

mod runtime;
mod session;

pub use runtime::{Provider, Runtime, RuntimeError, Selected};
pub use session::{LoadError, OnnxBackend};
