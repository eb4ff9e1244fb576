//! A model that is loaded and can be run.

use crate::cancel::CancelHandle;
use crate::signature::Signature;
use crate::tensor::Tensor;

/// A loaded model. It blocks while it runs, so it lives on a thread of its own.
pub trait Backend: Send + 'static {
    /// What the model takes and gives.
    fn signature(&self) -> &Signature;

    /// Runs the model on `inputs`, which are in the order of [`Signature::required_inputs`] and checked
    /// with [`Signature::check`]. Gives every output that is a tensor, in the order of
    /// [`Signature::tensor_outputs`]. What a model makes is bounded by nothing but the model: its
    /// outputs are allocated before anyone sees their size.
    ///
    /// `stop` ends the run early.
    ///
    /// # Errors
    /// When the run failed or was stopped; the backend can still be used.
    fn run(&mut self, inputs: &[&Tensor], stop: &CancelHandle) -> Result<Vec<Tensor>, RunError>;

    /// The same with some of the optional inputs, by their position in [`Signature::inputs`].
    ///
    /// # Errors
    /// As [`Backend::run`], and where the backend has no optional inputs.
    fn run_with_optional(
        &mut self,
        inputs: &[&Tensor],
        optional: &[(usize, &Tensor)],
        stop: &CancelHandle,
    ) -> Result<Vec<Tensor>, RunError> {
        if optional.is_empty() {
            return self.run(inputs, stop);
        }
        let message = "the model has no optional inputs".to_owned();
        Err(RunError::Failed(message))
    }

    /// Runs the model on inputs that may well be invalid: a failure isn't logged, and memory that only
    /// this run needed is given back after it.
    ///
    /// # Errors
    /// As [`Backend::run`].
    fn try_run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, RunError> {
        self.run(inputs, &CancelHandle::new())
    }
}

/// A run that gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// It was asked to stop.
    #[error("the run was stopped")]
    Stopped,
    /// The model doesn't take what it was given: a number beyond a table, lengths that don't fit each
    /// other. The message names no files, and is for whoever sent it.
    #[error("the model doesn't take the input: {0}")]
    InvalidInput(String),
    /// The model failed. The message is for logs: it may name files and addresses.
    #[error("the model failed to run: {0}")]
    Failed(String),
}

impl<B: Backend + ?Sized> Backend for Box<B> {
    fn signature(&self) -> &Signature {
        (**self).signature()
    }

    fn run(&mut self, inputs: &[&Tensor], stop: &CancelHandle) -> Result<Vec<Tensor>, RunError> {
        (**self).run(inputs, stop)
    }

    fn run_with_optional(
        &mut self,
        inputs: &[&Tensor],
        optional: &[(usize, &Tensor)],
        stop: &CancelHandle,
    ) -> Result<Vec<Tensor>, RunError> {
        (**self).run_with_optional(inputs, optional, stop)
    }

    fn try_run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, RunError> {
        (**self).try_run(inputs)
    }
}
