//! Models that can be run, and what their answers mean.
//!
//! [`Backend`] is a loaded model on one thread; [`onnx`] is the backend on ONNX Runtime and the only
//! place that names it. [`Classifier`] reads a backend's outputs as classes with a confidence and is
//! pure, as is [`independence`], which feeds a model before it serves.

pub mod backend;
pub mod cancel;
pub mod classifier;
pub mod data;
pub mod element;
pub mod independence;
mod label_learning;
pub mod onnx;
pub mod signature;
pub mod tensor;
pub mod threads;

pub use backend::{Backend, RunError};
pub use cancel::CancelHandle;
pub use classifier::label_columns::Classes;
pub use classifier::{Class, Classifier, Prediction, UnsupportedModel};
pub use data::{Data, DataView};
pub use element::ElementType;
pub use label_learning::learn_labels;
pub use signature::{Dimension, Port, PortKind, PortMismatch, Signature, SignatureMismatch};
pub use tensor::{ShapeMismatch, Tensor, TensorView, element_count};
pub use threads::Threads;
