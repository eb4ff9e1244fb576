//! One model in one ONNX Runtime session.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use ort::session::{RunOptions, Session};

use super::value;
use crate::backend::{Backend, RunError};
use crate::signature::{Port, Signature};
use crate::stop::{Interrupt, Stop};
use crate::tensor::Tensor;

/// A model in a session of its own.
#[derive(Debug)]
pub struct OnnxBackend {
    session: Session,
    signature: Signature,
    options: Arc<Interruptible>,
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

impl OnnxBackend {
    /// `unranked` are the inputs and outputs whose rank the model doesn't say, which ONNX Runtime
    /// can't tell from scalars.
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
        let signature = Signature {
            inputs: session.inputs().iter().map(port).collect(),
            outputs: session.outputs().iter().map(port).collect(),
        };
        Ok(Self {
            session,
            signature,
            options: Arc::new(Interruptible(RunOptions::new()?)),
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
        // An earlier run may have been interrupted, even one that panicked; this one can't be yet.
        self.options.0.unterminate().map_err(failed)?;
        let Some(running) = stop.guard(Arc::<Interruptible>::clone(&self.options)) else {
            return Err(RunError::Stopped);
        };
        let result = self.session.run_with_options(&*values, &self.options.0);
        // It may have ended by itself just before.
        if running.finish() && result.is_err() {
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
