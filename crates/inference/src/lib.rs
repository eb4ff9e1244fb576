//! Loaded models: tensors in, tensors out.
//!
//! - [`Backend`] is a loaded model on one thread. [`onnx`] has the backend on ONNX Runtime, and nothing else
//!   names that library.
//! - [`Signature`] declares the inputs and outputs of a model, [`Tensor`] holds their values.
//! - [`Classifier`] reads outputs as classes with a confidence.
//! - [`independence`] checks by trial runs whether rows may share a batch.
//!
//! ```
//! use springtide_inference::{Dimension, ElementType, Port, Signature, Tensor};
//!
//! let signature = Signature {
//!     inputs: vec![Port::tensor("x", ElementType::F32, [Dimension::Any, Dimension::Fixed(2)])],
//!     outputs: vec![Port::tensor("y", ElementType::F32, [Dimension::Any])],
//! };
//! let rows = Tensor::new(vec![3, 2], vec![0.0_f32; 6])?;
//! assert!(signature.check(&[&rows]).is_ok());
//! assert!(signature.has_row_axis());
//! # Ok::<(), springtide_inference::ShapeMismatch>(())
//! ```

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
pub use classifier::{Class, Classifier, OutputMismatch, Prediction};
pub use data::{Data, DataView};
pub use element::ElementType;
pub use label_learning::{RowByNumber, learn_labels};
pub use signature::{Dimension, Port, PortKind, PortMismatch, Signature, SignatureMismatch};
pub use tensor::{ShapeMismatch, Tensor, TensorView, element_count};
pub use threads::Threads;
