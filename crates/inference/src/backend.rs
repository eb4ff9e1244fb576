//! A model that is loaded and can be run.

use crate::tensor::{Matrix, Signature, Tensor};

/// A loaded model. It blocks while it runs, so it lives on a thread of its own.
pub trait Backend: Send + 'static {
    /// What the model takes and gives.
    fn signature(&self) -> &Signature;

    /// Runs the model on all rows together. Gives every output in the order of
    /// [`Signature::outputs`].
    ///
    /// # Errors
    /// When the run failed; the backend can still be used.
    fn run(&mut self, input: &Matrix) -> Result<Vec<Tensor>, RunError>;
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model failed to run: {message}")]
pub struct RunError {
    /// What the backend said. For logs: it may name files and addresses.
    pub message: String,
}

impl<B: Backend + ?Sized> Backend for Box<B> {
    fn signature(&self) -> &Signature {
        (**self).signature()
    }

    fn run(&mut self, input: &Matrix) -> Result<Vec<Tensor>, RunError> {
        (**self).run(input)
    }
}
