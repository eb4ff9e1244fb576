//! A version of a model that is served.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use springtide_batching::{
    Arrival, CheckResult, Config, Driver, Failure, Handle, Observer, Overload, Policy, QueueExit,
    Rejection, Response, Submission,
};
use springtide_contract::batching::BatchingStatus;
use springtide_inference::onnx::Provider;
use springtide_inference::{RunError, Signature, Tensor};
use springtide_tasks::{NoTask, TaskModel};

use super::batching::Batching;
use super::loader::{LoadedModel, ModelInfo};
use super::name::{ModelName, Version};
use super::request::{InferenceOutput, InputError, RowShape, ValidatedInputs, elements};
use super::runner::{BatchRunError, BatchRunner};
use super::statistics::{Counters, Statistics};
use crate::metrics::{self, Dropped, Series, Status};

/// The driver that runs the batches of a version.
pub(super) type ModelDriver = Driver<RowShape, BatchRunner>;

/// Maximum number of rows of a request to `/predict` where each request runs alone: the maximum of the flag
/// `--max-batch-size`.
const MAX_ROWS_ALONE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Maximum time that a run may continue after the last deadline of its requests.
const MAX_OVERRUN: Duration = Duration::from_secs(60);

/// Why a model gave no outputs for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// The queue is full.
    #[error("the server is overloaded: its queue is full")]
    QueueFull {
        /// Time after which a retry may succeed.
        retry_after: Duration,
    },
    /// The response would come after the deadline.
    #[error("the server is overloaded: the answer would come too late")]
    Overloaded {
        /// Time after which a retry may succeed.
        retry_after: Duration,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Draining,
    /// The request's deadline has passed.
    #[error("the answer was not ready within the request timeout")]
    TimedOut,
    /// The model rejects the values or lengths of this request.
    #[error("the model doesn't take the input: {0}")]
    InvalidInput(String),
    /// The model failed on this request. The log has the details.
    #[error("the model failed on this request")]
    Failed,
}

impl InferError {
    /// The outcome of the request in metrics.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::QueueFull { .. } => Status::Rejected(metrics::Rejected::QueueFull),
            Self::Overloaded { .. } => Status::Rejected(metrics::Rejected::Overloaded),
            Self::Draining => Status::Rejected(metrics::Rejected::Draining),
            Self::TimedOut => Status::Timeout,
            Self::InvalidInput(_) => Status::Invalid,
            Self::Failed => Status::Error,
        }
    }

    /// Time after which a retry may succeed, if one may.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after } | Self::Overloaded { retry_after } => {
                Some(*retry_after)
            }
            Self::Draining | Self::TimedOut | Self::InvalidInput(_) | Self::Failed => None,
        }
    }

    /// The same for the header `Retry-After`: in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let wait = self.retry_after()?;
        let begun = u64::from(wait.subsec_nanos() > 0);
        Some((wait.as_secs() + begun).max(1))
    }
}

impl From<Failure<BatchRunError>> for InferError {
    fn from(failure: Failure<BatchRunError>) -> Self {
        match failure {
            Failure::Rejected(Rejection::Overloaded { cause, retry_after }) => match cause {
                Overload::QueueFull { .. } => Self::QueueFull { retry_after },
                Overload::TooLate { .. } | Overload::Sustained { .. } => {
                    Self::Overloaded { retry_after }
                }
            },
            Failure::Rejected(Rejection::Closed) => Self::Draining,
            Failure::TimedOut => Self::TimedOut,
            Failure::Failed(BatchRunError::Run(RunError::InvalidInput(problem))) => {
                Self::InvalidInput(problem)
            }
            // The inputs were validated against the same limit.
            Failure::Rejected(Rejection::TooManyRows { .. })
            | Failure::Failed(_)
            | Failure::Gone => Self::Failed,
        }
    }
}

/// A version of a model that is served. When the last reference to it is dropped, its queue is closed, and its
/// threads and sessions end. Requests that found it before it was replaced are therefore still answered.
pub struct Model {
    name: ModelName,
    version: Version,
    version_text: String,
    info: ModelInfo,
    batching: Arc<Batching>,
    max_rows: NonZeroUsize,
    max_wait: Duration,
    workers: NonZeroUsize,
    queue: Handle<RowShape, BatchRunner>,
    counters: Arc<Counters>,
    series: Arc<Series>,
}

impl Model {
    /// Starts the threads of a loaded version. The caller must run the driver.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub(super) fn start(
        name: ModelName,
        version: Version,
        loaded: LoadedModel,
        bounds: Config,
        series: Arc<Series>,
    ) -> std::io::Result<(Self, ModelDriver)> {
        let LoadedModel {
            info,
            first,
            others,
            threads,
            measured_runs,
        } = loaded;
        let max_rows = bounds.max_rows;
        let max_wait = match bounds.policy {
            Policy::WorkConserving { max_linger } => max_linger,
            Policy::Window(window) => window,
        };
        let workers = NonZeroUsize::MIN.saturating_add(others.len());
        let batching = Arc::new(Batching::new(info.batching.clone()));
        let batch_rows = if batching.is_shared() {
            max_rows
        } else {
            // Each request counts as one row and runs alone.
            NonZeroUsize::MIN
        };
        let counters = Arc::new(Counters::new(batch_rows));
        let observer = Arc::new(BatchObserver {
            counters: Arc::clone(&counters),
            series: Arc::clone(&series),
            workers,
        });
        let config = Config {
            max_rows: batch_rows,
            sharing: batching.sharing(),
            ..bounds
        };
        let runner = |backend| {
            let batching = Arc::clone(&batching);
            BatchRunner::new(name.clone(), version, backend, batching, threads)
        };
        let others = others.into_iter().map(runner);
        let (queue, driver) =
            Driver::start(config, runner(first), others, &measured_runs, observer)?;
        let model = Self {
            name,
            version,
            version_text: version.to_string(),
            info,
            batching,
            max_rows,
            max_wait,
            workers,
            queue,
            counters,
            series,
        };
        Ok((model, driver))
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The version: a positive integer.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version_text
    }

    pub(super) const fn number(&self) -> Version {
        self.version
    }

    /// The inputs and outputs.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.info.signature
    }

    /// The platform, by Triton's name.
    #[must_use]
    pub const fn platform() -> &'static str {
        "onnxruntime_onnx"
    }

    /// Maximum number of rows of a request and of a batch. None where each request runs alone.
    #[must_use]
    pub fn max_rows(&self) -> Option<NonZeroUsize> {
        self.batching.is_shared().then_some(self.max_rows)
    }

    /// Whether requests share batches, and why.
    #[must_use]
    pub fn batching(&self) -> &BatchingStatus {
        self.batching.status()
    }

    /// Restores a mismatch that the sentinel found when the same content was served before: each request runs
    /// alone.
    pub(super) fn restore_mismatch(&self, found: BatchingStatus) {
        if !found.enabled {
            self.queue.run_alone();
        }
        self.batching.restore(found);
    }

    /// Maximum time that a batch waits for further requests.
    #[must_use]
    pub const fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// Number of concurrent sessions.
    #[must_use]
    pub const fn workers(&self) -> NonZeroUsize {
        self.workers
    }

    /// How `/predict` asks it and reads its outputs.
    ///
    /// # Errors
    /// Why `/predict` doesn't serve it.
    pub const fn task(&self) -> Result<&TaskModel, &NoTask> {
        self.info.task.as_ref()
    }

    /// Maximum number of rows of a request to `/predict`.
    #[must_use]
    pub fn max_predict_rows(&self) -> NonZeroUsize {
        self.max_rows().unwrap_or(MAX_ROWS_ALONE)
    }

    /// Properties of the loaded version.
    #[must_use]
    pub const fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Its metrics.
    #[must_use]
    pub const fn series(&self) -> &Arc<Series> {
        &self.series
    }

    /// Statistics since the load.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.counters.read()
    }

    /// Number of rows in the queue.
    #[must_use]
    pub fn waiting_rows(&self) -> usize {
        self.queue.waiting_rows()
    }

    /// Whether every worker is stuck: its run has exceeded the deadlines of all its requests by `MAX_OVERRUN`.
    /// ONNX Runtime can end a run only between two nodes.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        // TensorRT compiles the model for minutes within a run, for inputs of new shapes.
        self.info.provider != Provider::TensorRt
            && self.queue.last_deadline().is_some_and(|deadline| {
                let now = tokio::time::Instant::now().into_std();
                now.saturating_duration_since(deadline) > MAX_OVERRUN
            })
    }

    /// Validates inputs: the required ones in the order of [`Model::signature`], and the optional ones that are
    /// given, with their position there.
    ///
    /// # Errors
    /// When the model doesn't accept them.
    pub fn check(
        &self,
        inputs: Vec<Tensor>,
        optional: Vec<(usize, Tensor)>,
    ) -> Result<ValidatedInputs, InputError> {
        ValidatedInputs::new(self.signature(), self.max_rows(), inputs, optional)
    }

    /// Runs the model on validated inputs. Dropping the future dequeues the request. A batch is stopped when all its
    /// requests are dropped.
    ///
    /// # Errors
    /// [`InferError`]. The request is then finished: nothing of it remains queued.
    pub async fn infer(
        &self,
        checked: ValidatedInputs,
        deadline: Instant,
    ) -> Result<InferenceOutput, InferError> {
        let outcome = RequestOutcome::begin(&self.counters);
        let rows = checked.rows;
        let submission = Submission {
            signature: checked.row_shape.clone(),
            rows,
            elements: elements(&checked.inputs)
                + checked
                    .optional
                    .iter()
                    .map(|(_, tensor)| tensor.data().view().len())
                    .sum::<usize>(),
            deadline,
            input: checked,
        };
        let answer = self.queue.submit(submission).await?;
        outcome.succeeded(rows, &answer);
        Ok(InferenceOutput {
            outputs: answer.output.outputs,
            rows: answer.output.rows,
            batch_rows: answer.batch_rows,
            queued: answer.queued,
            compute: answer.compute,
        })
    }

    /// Batches stop waiting for further requests.
    pub fn flush(&self) {
        self.queue.flush();
    }

    /// Rejects further requests. Queued ones are still answered.
    pub fn close(&self) {
        self.queue.close();
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Counts the outcome of a request in the statistics. Dropped before success, it counts as failed.
struct RequestOutcome<'a> {
    counters: &'a Counters,
    accepted: Instant,
    succeeded: bool,
}

impl<'a> RequestOutcome<'a> {
    fn begin(counters: &'a Counters) -> Self {
        counters.accepted(SystemTime::now());
        Self {
            counters,
            accepted: Instant::now(),
            succeeded: false,
        }
    }

    fn succeeded<O>(mut self, rows: NonZeroUsize, answer: &Response<O>) {
        self.succeeded = true;
        let took = self.accepted.elapsed();
        self.counters
            .succeeded(rows.get(), took, answer.queued, answer.compute);
    }
}

impl Drop for RequestOutcome<'_> {
    fn drop(&mut self) {
        if !self.succeeded {
            self.counters.failed(self.accepted.elapsed());
        }
    }
}

/// Counts the events of a version's batches in its metrics and statistics.
struct BatchObserver {
    counters: Arc<Counters>,
    series: Arc<Series>,
    workers: NonZeroUsize,
}

impl Observer for BatchObserver {
    fn arrived(&self, arrival: &Arrival) {
        self.series.arrived(arrival, self.workers);
    }

    fn begins(&self, waited: Duration) {
        self.series.waited(waited);
    }

    fn ran(&self, rows: usize, took: Duration) {
        self.series.ran(rows, took);
        self.counters.ran(rows, took);
    }

    fn stopped(&self, rows: usize, after: Duration) {
        self.ran(rows, after);
    }

    fn checked(&self, check: CheckResult) {
        self.series.checked(check);
    }

    fn exited_queue(&self, reason: QueueExit) {
        self.series.dropped(match reason {
            QueueExit::Expired => Dropped::Timeout,
            QueueExit::Cancelled => Dropped::Cancelled,
        });
    }
}

#[cfg(test)]
mod tests;
