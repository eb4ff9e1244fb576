//! Runs the requests of one batch as one matrix.

use std::num::NonZeroUsize;

use springtide_batching::Worker;
use springtide_inference::{
    Backend, Classifier, ElementType, Matrix, Prediction, RunError, Stop, Tensor, UnsupportedModel,
};

/// The model failed on a batch. The details are logged where they arise; a client gets none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunFailed {
    /// The backend failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Its outputs aren't what they were at the start.
    #[error(transparent)]
    Outputs(#[from] UnsupportedModel),
    /// The requests' rows differ in length.
    #[error("the requests of a batch have rows of different lengths")]
    Mixed,
}

/// A model on its thread.
#[derive(Debug)]
pub struct Predictor<B> {
    backend: B,
    classifier: Classifier,
}

impl<B: Backend> Predictor<B> {
    /// Finds out what the model's inputs and outputs mean.
    ///
    /// # Errors
    /// When the model can't be served.
    pub fn new(backend: B) -> Result<Self, UnsupportedModel> {
        let classifier = Classifier::new(backend.signature())?;
        Ok(Self {
            backend,
            classifier,
        })
    }

    /// Numbers in one row.
    pub const fn features(&self) -> NonZeroUsize {
        self.classifier.features()
    }

    /// Runs one row and a full batch, so that the first requests don't pay for memory that is
    /// allocated and kernels that are chosen on first use, and checks what comes out.
    ///
    /// # Errors
    /// When the model fails or gives something else than it declares.
    pub fn warm_up(&mut self, max_rows: NonZeroUsize) -> Result<(), RunFailed> {
        for rows in [NonZeroUsize::MIN, max_rows] {
            let shape = vec![rows.get(), self.features().get()];
            let zeros = Tensor::zeros(ElementType::F32, shape).map_err(|_| RunFailed::Mixed)?;
            let outputs = self.backend.run(&[&zeros], &Stop::new())?;
            let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
            self.classifier.check(&views, rows)?;
        }
        Ok(())
    }

    fn predict(&mut self, inputs: &[&Matrix]) -> Result<Vec<Vec<Prediction>>, RunFailed> {
        let stacked = Matrix::stack(inputs).ok_or(RunFailed::Mixed)?;
        let rows = NonZeroUsize::new(stacked.rows()).ok_or(RunFailed::Mixed)?;
        let outputs = self.backend.run(&[&stacked], &Stop::new())?;
        let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
        let mut predictions = self.classifier.predictions(&views, rows)?.into_iter();
        Ok(inputs
            .iter()
            .map(|input| predictions.by_ref().take(input.rows().get()).collect())
            .collect())
    }
}

impl<B: Backend> Worker for Predictor<B> {
    type Input = Matrix;
    type Output = Vec<Prediction>;
    type Error = RunFailed;

    fn run(
        &mut self,
        inputs: &[&Matrix],
        _stop: &springtide_batching::Stop,
    ) -> Result<Vec<Vec<Prediction>>, RunFailed> {
        let result = self.predict(inputs);
        if let Err(error) = &result {
            tracing::warn!(%error, requests = inputs.len(), "a batch failed");
        }
        result
    }
}

#[cfg(test)]
pub(crate) mod tests;
