//! A session of ONNX Runtime.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use ort::ErrorCode;
use ort::logging::LogLevel;
use ort::session::{OverridableInitializer, RunOptions, Session, SessionInputValue, SessionInputs};
use ort::value::DynValue;

use super::{input_error_text, value};
use crate::backend::{Backend, RunError};
use crate::cancel::{CancelHandle, Interrupt};
use crate::signature::{Dimension, Port, Signature};
use crate::tensor::{Tensor, element_count};

/// Maximum number of elements of an optional input. Some exporters list every weight among the inputs; requests don't
/// give those.
const MAX_OPTIONAL_ELEMENTS: usize = 4096;

/// A model in its own session.
#[derive(Debug)]
pub struct OnnxBackend {
    session: Session,
    signature: Signature,
    options: Arc<Interruptible>,
    quiet_options: QuietRunOptions,
}

/// Options of runs whose failure is expected: nothing is logged.
struct QuietRunOptions(RunOptions);

impl fmt::Debug for QuietRunOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("QuietRunOptions")
            .finish_non_exhaustive()
    }
}

impl QuietRunOptions {
    fn new() -> ort::Result<Self> {
        let mut options = RunOptions::new()?;
        options.set_log_level(LogLevel::Fatal)?;
        // A full batch of large images needs hundreds of megabytes, which may never be needed again:
        // https://onnxruntime.ai/docs/get-started/with-c.html#features
        options.set("memory.enable_memory_arena_shrinkage", "cpu:0")?;
        Ok(Self(options))
    }
}

/// Options of the runs of a session, with the flag that stops them.
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

impl OnnxBackend {
    /// `unranked` are the inputs and outputs of unknown rank, which ONNX Runtime reports as scalars.
    pub(super) fn new(session: Session, unranked: &HashSet<String>) -> ort::Result<Self> {
        let port = |outlet| {
            let port = value::port(outlet);
            let unknown =
                port.shape.as_ref().is_some_and(Vec::is_empty) && unranked.contains(&port.name);
            if unknown {
                Port {
                    shape: None,
                    ..port
                }
            } else {
                port
            }
        };
        let mut inputs: Vec<Port> = session.inputs().iter().map(port).collect();
        let overridable = session.overridable_initializers();
        inputs.extend(overridable.iter().filter_map(optional));
        let signature = Signature {
            inputs,
            outputs: session.outputs().iter().map(port).collect(),
        };
        Ok(Self {
            session,
            signature,
            options: Arc::new(Interruptible(RunOptions::new()?)),
            quiet_options: QuietRunOptions::new()?,
        })
    }
}

/// An optional input. None where no request would give it.
fn optional(initializer: &OverridableInitializer) -> Option<Port> {
    let port = value::port_of(initializer.name(), initializer.dtype());
    let length = |dimension: &Dimension| match dimension {
        Dimension::Fixed(length) => *length,
        Dimension::Any => 1,
    };
    let shape: Vec<usize> = port.shape.as_ref()?.iter().map(length).collect();
    port.element()?;
    (element_count(&shape)? <= MAX_OPTIONAL_ELEMENTS).then_some(Port {
        optional: true,
        ..port
    })
}

/// The outputs that are tensors.
fn tensors<'o>(
    signature: &Signature,
    outputs: impl Iterator<Item = impl std::ops::Deref<Target = DynValue> + 'o>,
) -> Result<Vec<Tensor>, RunError> {
    signature
        .outputs
        .iter()
        .zip(outputs)
        .filter_map(|(port, value)| Some((port, port.element()?, value)))
        .map(|(port, element, value)| {
            value::output(&value, element)
                .map_err(|problem| RunError::Failed(format!("output {}: {problem}", port.name)))
        })
        .collect()
}

fn values<'t>(inputs: &[&'t Tensor]) -> Result<Vec<SessionInputValue<'t>>, RunError> {
    inputs
        .iter()
        .map(|tensor| value::input(tensor))
        .collect::<ort::Result<Vec<_>>>()
        .map_err(failed)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn failed(error: ort::Error) -> RunError {
    RunError::Failed(error.to_string())
}

/// The error of a failed run. The error code shows whether an operator rejected the input.
fn run_error(error: &ort::Error) -> RunError {
    match error.code() {
        ErrorCode::InvalidArgument => RunError::InvalidInput(input_error_text(error.message())),
        _ => RunError::Failed(error.to_string()),
    }
}

impl Backend for OnnxBackend {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&mut self, inputs: &[&Tensor], stop: &CancelHandle) -> Result<Vec<Tensor>, RunError> {
        self.run_values(SessionInputs::from(&*values(inputs)?), stop)
    }

    fn run_with_optional(
        &mut self,
        inputs: &[&Tensor],
        optional: &[(usize, &Tensor)],
        stop: &CancelHandle,
    ) -> Result<Vec<Tensor>, RunError> {
        if optional.is_empty() {
            return self.run(inputs, stop);
        }
        let ports = self
            .signature
            .required_inputs()
            .map(|port| port.name.clone());
        let mut named: Vec<(Cow<'_, str>, SessionInputValue<'_>)> =
            ports.map(Cow::Owned).zip(values(inputs)?).collect();
        for (index, tensor) in optional {
            let unknown = || RunError::Failed(format!("there is no input {index}"));
            let port = self.signature.inputs.get(*index).ok_or_else(unknown)?;
            let value = value::input(tensor).map_err(failed)?;
            named.push((Cow::Owned(port.name.clone()), value));
        }
        self.run_values(SessionInputs::from(named), stop)
    }

    fn try_run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, RunError> {
        let outputs = self
            .session
            .run_with_options(&*values(inputs)?, &self.quiet_options.0)
            .map_err(failed)?;
        tensors(&self.signature, outputs.values())
    }
}

impl OnnxBackend {
    fn run_values<const N: usize>(
        &mut self,
        inputs: SessionInputs<'_, '_, N>,
        stop: &CancelHandle,
    ) -> Result<Vec<Tensor>, RunError> {
        // An earlier run may have been interrupted, even one that panicked. This one has not been.
        self.options.0.unterminate().map_err(failed)?;
        let Some(running) = stop.guard(Arc::<Interruptible>::clone(&self.options)) else {
            return Err(RunError::Stopped);
        };
        let result = self.session.run_with_options(inputs, &self.options.0);
        // The run may have succeeded just before it was interrupted.
        if running.finish() && result.is_err() {
            return Err(RunError::Stopped);
        }
        let outputs = result.map_err(|error| run_error(&error))?;
        tensors(&self.signature, outputs.values())
    }
}
