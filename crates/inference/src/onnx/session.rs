//! One model in one ONNX Runtime session.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use ort::ep::CUDA;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};

use super::runtime::{Provider, Runtime, Selected};
use super::value;
use crate::backend::{Backend, RunError};
use crate::signature::Signature;
use crate::stop::{Interrupt, Stop};
use crate::tensor::Tensor;

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
    options: Arc<Interruptible>,
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
            inputs: session.inputs().iter().map(value::port).collect(),
            outputs: session.outputs().iter().map(value::port).collect(),
        };
        let options = RunOptions::new().map_err(|error| LoadError::Model(error.to_string()))?;
        Ok(Self {
            session,
            signature,
            options: Arc::new(Interruptible(options)),
        })
    }
}

impl Backend for OnnxBackend {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&mut self, inputs: &[&Tensor], stop: &Stop) -> Result<Vec<Tensor>, RunError> {
        let failed = |error: ort::Error| RunError::Failed(error.to_string());
        let values = inputs
            .iter()
            .map(|tensor| value::input(tensor))
            .collect::<ort::Result<Vec<_>>>()
            .map_err(failed)?;
        let Some(running) = stop.guard(Arc::<Interruptible>::clone(&self.options)) else {
            return Err(RunError::Stopped);
        };
        let result = self.session.run_with_options(&*values, &self.options.0);
        if running.finish() {
            drop(result);
            self.options.0.unterminate().map_err(failed)?;
            return Err(RunError::Stopped);
        }
        let outputs = result.map_err(failed)?;
        self.signature
            .outputs
            .iter()
            .zip(outputs.values())
            .filter_map(|(port, value)| Some((port, port.element()?, value)))
            .map(|(port, element, value)| {
                value::output(&value, element)
                    .map_err(|problem| RunError::Failed(format!("output {}: {problem}", port.name)))
            })
            .collect()
    }
}

/// What the runs of one session share: the flag that ends them.
struct Interruptible(RunOptions);

impl fmt::Debug for Interruptible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Interruptible")
            .finish_non_exhaustive()
    }
}

impl Interrupt for Interruptible {
    fn interrupt(&self) {
        if let Err(error) = self.0.terminate() {
            tracing::warn!(%error, "a run can't be stopped");
        }
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
