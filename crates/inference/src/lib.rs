//! Models that can be run, and what their answers mean.
//!
//! [`Backend`] is a loaded model on one thread; [`onnx`] is the backend on ONNX Runtime and the only
//! place that names it. [`Classifier`] reads a backend's outputs as classes with a confidence and is
//! pure.

pub mod backend;
pub mod classifier;
pub mod onnx;
pub mod tensor;
pub mod threads;

pub use backend::{Backend, RunError};
pub use classifier::{Class, Classifier, Prediction, UnsupportedModel};
pub use tensor::{Data, Dimension, ElementType, Matrix, Port, Signature, Tensor};
pub use threads::Threads;
