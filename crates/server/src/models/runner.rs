//! Runs the requests of a batch at once.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use springtide_batching::{CancelHandle as BatchCancelHandle, CheckResult, Worker};
use springtide_inference::independence::{RowCountMismatch, check_row_counts, compare};
use springtide_inference::{Backend, CancelHandle, RunError, Tensor, TensorView};

use super::batching::Batching;
use super::name::{ModelName, Version};
use super::request::ValidatedInputs;
use crate::cpu::thread_cpu_time;

/// The model failed on a batch. The details are logged; clients don't get them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchRunError {
    /// The backend failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The outputs have another number of rows than the inputs.
    #[error(transparent)]
    Outputs(#[from] RowCountMismatch),
    /// The backend panicked.
    #[error("the model's run panicked")]
    Panicked,
    /// The rows of the requests can't be stacked.
    #[error("the requests of a batch have rows of different shapes")]
    Mixed,
}

/// One request's slice of a batch: the outputs of the batch, and the rows of the request.
#[derive(Debug, Clone)]
pub struct BatchSlice {
    pub(super) outputs: Arc<[Tensor]>,
    /// None for all rows.
    pub(super) rows: Option<Range<usize>>,
}

/// Runs a model on a worker thread.
pub struct BatchRunner {
    model: ModelName,
    version: Version,
    backend: Box<dyn Backend>,
    batching: Arc<Batching>,
    /// Threads of a run.
    threads: NonZeroUsize,
}

impl BatchRunner {
    pub(super) fn new(
        model: ModelName,
        version: Version,
        backend: Box<dyn Backend>,
        batching: Arc<Batching>,
        threads: NonZeroUsize,
    ) -> Self {
        Self {
            model,
            version,
            backend,
            batching,
            threads,
        }
    }

    fn run_together(
        &mut self,
        requests: &[&ValidatedInputs],
        stop: &CancelHandle,
    ) -> Result<Vec<BatchSlice>, BatchRunError> {
        if let [request] = requests {
            let outputs = self.alone(request, stop)?.into();
            return Ok(vec![BatchSlice {
                outputs,
                rows: None,
            }]);
        }
        let stacked = stack(requests).ok_or(BatchRunError::Mixed)?;
        let inputs: Vec<&Tensor> = stacked.iter().collect();
        let outputs = self.backend.run(&inputs, stop)?;
        let all = requests.iter().map(|request| request.rows.get()).sum();
        let all = NonZeroUsize::new(all).ok_or(BatchRunError::Mixed)?;
        check_row_counts(self.backend.signature(), &outputs, all)?;
        let outputs: Arc<[Tensor]> = outputs.into();
        let mut next = 0;
        Ok(requests
            .iter()
            .map(|request| {
                let rows = next..next + request.rows.get();
                next = rows.end;
                BatchSlice {
                    outputs: Arc::clone(&outputs),
                    rows: Some(rows),
                }
            })
            .collect())
    }

    /// Runs one request, whatever its rows mean.
    fn alone(
        &mut self,
        request: &ValidatedInputs,
        stop: &CancelHandle,
    ) -> Result<Vec<Tensor>, RunError> {
        let inputs: Vec<&Tensor> = request.inputs.iter().collect();
        let optional: Vec<(usize, &Tensor)> = request
            .optional
            .iter()
            .map(|(index, tensor)| (*index, tensor))
            .collect();
        self.backend.run_with_optional(&inputs, &optional, stop)
    }
}

/// The stacked rows of all requests, input by input. None when their shapes differ.
fn stack(requests: &[&ValidatedInputs]) -> Option<Vec<Tensor>> {
    if requests.iter().any(|request| !request.optional.is_empty()) {
        return None;
    }
    let count = requests.first()?.inputs.len();
    (0..count)
        .map(|index| {
            let parts: Option<Vec<&Tensor>> = requests
                .iter()
                .map(|request| request.inputs.get(index))
                .collect();
            Tensor::stack(&parts?)
        })
        .collect()
}

impl BatchSlice {
    fn views(&self) -> Vec<TensorView<'_>> {
        let view = |output| match &self.rows {
            Some(rows) => Tensor::view_rows(output, rows.clone()),
            None => Some(output.view()),
        };
        self.outputs.iter().filter_map(view).collect()
    }
}

/// A handle of a run that stops when the batcher stops the batch.
fn linked(stop: &BatchCancelHandle) -> CancelHandle {
    let run_stop = CancelHandle::new();
    stop.on_cancel({
        let run_stop = run_stop.clone();
        move || run_stop.cancel()
    });
    run_stop
}

impl Worker for BatchRunner {
    type Input = ValidatedInputs;
    type Output = BatchSlice;
    type Error = BatchRunError;

    fn run(
        &mut self,
        requests: &[&ValidatedInputs],
        stop: &BatchCancelHandle,
    ) -> Result<Vec<BatchSlice>, BatchRunError> {
        let run_stop = linked(stop);
        // A panic must not end the other models. The backend is kept: a session of ONNX Runtime isn't changed by
        // runs.
        let result = catch_unwind(AssertUnwindSafe(|| self.run_together(requests, &run_stop)))
            .unwrap_or(Err(BatchRunError::Panicked));
        match &result {
            Ok(_) => {}
            Err(BatchRunError::Run(RunError::Stopped)) => {
                tracing::debug!(requests = requests.len(), "a batch was stopped");
            }
            Err(BatchRunError::Run(error @ RunError::InvalidInput(_))) => {
                tracing::debug!(%error, requests = requests.len(), "a batch was rejected");
            }
            Err(error) => tracing::warn!(
                model = %self.model,
                version = %self.version,
                %error,
                requests = requests.len(),
                "a batch failed"
            ),
        }
        result
    }

    fn check(
        &mut self,
        request: &ValidatedInputs,
        shared: &BatchSlice,
        stop: &BatchCancelHandle,
    ) -> CheckResult {
        let run_stop = linked(stop);
        let alone = catch_unwind(AssertUnwindSafe(|| self.alone(request, &run_stop)));
        let difference = match alone {
            Ok(Ok(alone)) => {
                let alone: Vec<TensorView<'_>> = alone.iter().map(Tensor::view).collect();
                match compare(&alone, &shared.views()) {
                    Ok(()) => return CheckResult::Same,
                    Err(difference) => difference.to_string(),
                }
            }
            Ok(Err(RunError::InvalidInput(problem))) => {
                format!("alone, the model refuses it: {problem}")
            }
            Ok(Err(_)) | Err(_) => return CheckResult::Undecided,
        };
        self.batching.record_mismatch(&difference);
        tracing::error!(
            model = %self.model,
            version = %self.version,
            reason = self.batching.status().message,
            "a request's answer depends on the requests beside it"
        );
        if self.batching.is_shared() {
            // The owner guarantees independence.
            CheckResult::Tolerated
        } else {
            CheckResult::Different
        }
    }

    /// CPU time, assuming that all threads of a run work equally. This is too high where a model leaves some idle,
    /// but at most the wall-clock time on the CPUs of the threads.
    fn cpu_time(&self) -> Duration {
        let threads = u32::try_from(self.threads.get()).unwrap_or(u32::MAX);
        thread_cpu_time().saturating_mul(threads)
    }
}

#[cfg(test)]
mod tests;
