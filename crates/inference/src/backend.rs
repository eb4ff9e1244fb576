//! The interface of a loaded model.

use crate::cancel::CancelHandle;
use crate::signature::Signature;
use crate::tensor::Tensor;

/// A loaded model. A run blocks its thread.
pub trait Backend: Send + 'static {
    /// The inputs and outputs.
    fn signature(&self) -> &Signature;

    /// Runs the model on `inputs`, which are in the order of [`Signature::required_inputs`] and validated with
    /// [`Signature::check`]. Returns the outputs that are tensors, in the order of [`Signature::tensor_outputs`].
    /// Only the model limits their size: they are allocated before it is known.
    ///
    /// `stop` ends the run early.
    ///
    /// # Errors
    /// When the run fails or is stopped. The backend can still be used.
    fn run(&mut self, inputs: &[&Tensor], stop: &CancelHandle) -> Result<Vec<Tensor>, RunError>;

    /// [`Backend::run`] with optional inputs, given with their position in [`Signature::inputs`].
    ///
    /// # Errors
    /// Those of [`Backend::run`], and when the backend has no optional inputs.
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

    /// Runs the model on inputs that may be invalid. A failure isn't logged, and memory that only this run needs is
    /// released after it.
    ///
    /// # Errors
    /// Those of [`Backend::run`].
    fn try_run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, RunError> {
        self.run(inputs, &CancelHandle::new())
    }
}

/// A run without outputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// It was stopped.
    #[error("the run was stopped")]
    Stopped,
    /// The model rejects the input: an index beyond a table, for example, or lengths that don't match. The message
    /// names no files and is fit for the client.
    #[error("the model doesn't take the input: {0}")]
    InvalidInput(String),
    /// The model failed. The message is for logs only: it may name files and addresses.
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
