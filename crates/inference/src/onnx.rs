//! Models on ONNX Runtime.

mod runtime;
mod session;
mod value;

pub use runtime::{Provider, Runtime, RuntimeError, Selected};
pub use session::{LoadError, OnnxBackend};
