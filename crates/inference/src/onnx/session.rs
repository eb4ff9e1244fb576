//! One model in one ONNX Runtime session.

use std::num::NonZeroUsize;
use std::path::Path;

use ort::ep::CUDA;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{DynValue, Outlet, Shape, TensorElementType, TensorRef, ValueType};

use super::runtime::{Provider, Runtime, Selected};
use crate::backend::{Backend, RunError};
use crate::tensor::{Data, Dimension, ElementType, Matrix, Port, Signature, Tensor};

/// A model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The GPU that was asked for can't be used.
    #[error(
        "the CUDA execution provider can't be used: {0}: run an image with CUDA on a node with a \
         GPU, or use the execution provider cpu"
    )]
    CudaUnavailable(String),
    /// ONNX Runtime doesn't take the model.
    #[error("ONNX Runtime can't load the model: {0}")]
    Model(String),
}

/// A model in a session of its own.
#[derive(Debug)]
pub struct OnnxBackend {
    session: Session,
    signature: Signature,
}

impl OnnxBackend {
    /// Loads a model. With [`Provider::Auto`] a GPU that can't be used is logged, and the processor
    /// used.
    ///
    /// # Errors
    /// When the model isn't valid or the provider can't be used.
    pub fn load(
        runtime: &Runtime,
        model: &Path,
        provider: Provider,
        threads: NonZeroUsize,
    ) -> Result<(Self, Selected), LoadError> {
        match provider {
            Provider::Cpu => Ok((Self::on_cpu(runtime, model, threads)?, Selected::Cpu)),
            Provider::Cuda => Ok((Self::on_cuda(runtime, model, threads)?, Selected::Cuda)),
            Provider::Auto if !runtime.has_cuda() => {
                tracing::info!("this ONNX Runtime has no CUDA: running on the processor");
                Ok((Self::on_cpu(runtime, model, threads)?, Selected::Cpu))
            }
            Provider::Auto => match Self::on_cuda(runtime, model, threads) {
                Ok(backend) => Ok((backend, Selected::Cuda)),
                Err(error) => {
                    tracing::warn!(%error, "falling back to the processor");
                    Ok((Self::on_cpu(runtime, model, threads)?, Selected::Cpu))
                }
            },
        }
    }

    fn on_cpu(runtime: &Runtime, model: &Path, threads: NonZeroUsize) -> Result<Self, LoadError> {
        let builder = builder(runtime, threads).map_err(LoadError::Model)?;
        Self::commit(builder, model)
    }

    fn on_cuda(runtime: &Runtime, model: &Path, threads: NonZeroUsize) -> Result<Self, LoadError> {
        let builder = builder(runtime, threads)
            .map_err(LoadError::Model)?
            .with_execution_providers([CUDA::default().build().error_on_failure()])
            .map_err(|error| LoadError::CudaUnavailable(reason(&error.to_string())))?;
        // The GPU itself is first touched when the session is made.
        Self::commit(builder, model).map_err(|error| match error {
            LoadError::Model(message) if message.contains("CUDA") => {
                LoadError::CudaUnavailable(message)
            }
            other => other,
        })
    }

    fn commit(mut builder: SessionBuilder, model: &Path) -> Result<Self, LoadError> {
        let session = builder
            .commit_from_file(model)
            .map_err(|error| LoadError::Model(reason(&error.to_string())))?;
        let signature = Signature {
            inputs: session.inputs().iter().map(port).collect(),
            outputs: session.outputs().iter().map(port).collect(),
        };
        Ok(Self { session, signature })
    }
}

impl Backend for OnnxBackend {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&mut self, input: &Matrix) -> Result<Vec<Tensor>, RunError> {
        let shape = [input.rows().get(), input.columns().get()];
        let input =
            TensorRef::from_array_view((shape, input.data())).map_err(|error| run_error(&error))?;
        let outputs = self
            .session
            .run(ort::inputs![input])
            .map_err(|error| run_error(&error))?;
        outputs.values().map(|value| tensor(&value)).collect()
    }
}

fn builder(runtime: &Runtime, threads: NonZeroUsize) -> Result<SessionBuilder, String> {
    configure(runtime, threads).map_err(|error| reason(&error.to_string()))
}

fn configure(runtime: &Runtime, threads: NonZeroUsize) -> ort::Result<SessionBuilder> {
    Ok(Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads.get())?
        .with_inter_threads(1)?
        // A spinning thread burns the CPU quota that the next batch needs.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?)
}

fn port(outlet: &Outlet) -> Port {
    let (element, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let element = match ty {
                TensorElementType::Float32 => ElementType::Float,
                TensorElementType::Int64 => ElementType::Integer,
                TensorElementType::String => ElementType::Text,
                other => ElementType::Other(other.to_string()),
            };
            (element, shape.iter().copied().map(dimension).collect())
        }
        other => (ElementType::Other(other.to_string()), Vec::new()),
    };
    Port {
        name: outlet.name().to_owned(),
        element,
        shape,
    }
}

/// ONNX Runtime writes -1 where a model takes any length.
fn dimension(length: i64) -> Dimension {
    usize::try_from(length).map_or(Dimension::Any, Dimension::Fixed)
}

fn tensor(value: &DynValue) -> Result<Tensor, RunError> {
    let (shape, data) = match value.dtype() {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            ..
        } => {
            let (shape, numbers) = value
                .try_extract_tensor::<f32>()
                .map_err(|error| run_error(&error))?;
            (shape, Data::Float(numbers.to_vec()))
        }
        ValueType::Tensor {
            ty: TensorElementType::Int64,
            ..
        } => {
            let (shape, numbers) = value
                .try_extract_tensor::<i64>()
                .map_err(|error| run_error(&error))?;
            (shape, Data::Integer(numbers.to_vec()))
        }
        ValueType::Tensor {
            ty: TensorElementType::String,
            ..
        } => {
            let (shape, names) = value
                .try_extract_strings()
                .map_err(|error| run_error(&error))?;
            (shape, Data::Text(names))
        }
        // Nobody reads an output of another type, but the others keep their places.
        _ => {
            return Ok(Tensor {
                shape: Vec::new(),
                data: Data::Float(Vec::new()),
            });
        }
    };
    Ok(Tensor {
        shape: lengths(shape),
        data,
    })
}

fn lengths(shape: &Shape) -> Vec<usize> {
    shape
        .iter()
        .map(|length| usize::try_from(*length).unwrap_or(0))
        .collect()
}

fn run_error(error: &ort::Error) -> RunError {
    RunError {
        message: error.to_string(),
    }
}

/// What ONNX Runtime says, without the place in its source and the number of the error before it.
fn reason(message: &str) -> String {
    let said = message
        .rsplit_once("[ONNXRuntimeError] : ")
        .and_then(|(_source, said)| said.splitn(3, " : ").nth(2));
    said.unwrap_or(message).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn a_reason_has_neither_source_nor_number() {
        let message = "/onnxruntime_src/core/session.cc:1952 Get() [ONNXRuntimeError] : 1 : FAIL : \
                       Failed to load library a : b\n";
        assert_eq!(reason(message), "Failed to load library a : b");
        assert_eq!(reason("something else\n"), "something else");
    }
}
