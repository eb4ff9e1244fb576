//! The interface of workers.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::cancel::CancelHandle;
use crate::scheduler::Rejection;
use crate::scheduler::sentinel::CheckResult;

/// Runs batches. Each worker has its own operating system thread and may block it.
pub trait Worker: Send + 'static {
    /// The input of one request.
    type Input: Send + 'static;
    /// The output of one request. Clones should be cheap: one is kept for each request to be checked.
    type Output: Clone + Send + 'static;
    /// The error of a batch.
    type Error: Clone + Send + 'static;

    /// Runs the requests together and returns one output per request, in their order. When `cancel` is cancelled, the
    /// outputs have no clients: the sooner this returns, with any result, the sooner the next batch runs.
    ///
    /// # Errors
    /// If the whole batch failed. It is then run again in halves, so that only the request that can't run gets this
    /// error.
    fn run(
        &mut self,
        inputs: &[&Self::Input],
        cancel: &CancelHandle,
    ) -> Result<Vec<Self::Output>, Self::Error>;

    /// Runs one request alone, and compares its output with that of its batch, within the tolerance of the model. When
    /// `cancel` is cancelled, the worker is needed: this should return soon, with [`CheckResult::Undecided`] if the
    /// run was cut short. It is called again later.
    ///
    /// Batches of a worker that can't compare must not be [`Sharing::Checked`](crate::Sharing).
    fn check(
        &mut self,
        input: &Self::Input,
        shared: &Self::Output,
        cancel: &CancelHandle,
    ) -> CheckResult {
        let _not_compared = (input, shared, cancel);
        CheckResult::Undecided
    }

    /// CPU time of this worker since its thread began, over all CPUs. Called on that thread, after each batch and each
    /// check.
    fn cpu_time(&self) -> Duration;
}

/// One request.
#[derive(Debug)]
pub struct Submission<K, I> {
    /// The signature: requests with the same one may share a batch.
    pub signature: K,
    /// Rows of the request.
    pub rows: NonZeroUsize,
    /// Elements of its inputs, in all rows: the cost of a run grows with them.
    pub elements: usize,
    /// The deadline: a later response is useless.
    pub deadline: Instant,
    /// The input for the worker.
    pub input: I,
}

/// An output, and properties of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<O> {
    /// The output of this request.
    pub output: O,
    /// Rows of the batch.
    pub batch_rows: usize,
    /// Time from the push to the start of the batch, including earlier runs whose outputs were dropped.
    pub queued: Duration,
    /// Duration of the batch.
    pub compute: Duration,
}

/// Why a request has no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure<E> {
    /// It was not queued.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Its deadline passed, in the queue or during the run, or was too close for the run.
    #[error("the request has timed out")]
    TimedOut,
    /// The worker failed on it, alone in its batch.
    #[error("the request could not be run: {0}")]
    Failed(E),
    /// The driver or its worker ended before the response.
    #[error("the batcher has ended")]
    Gone,
}

pub(super) type Reply<O, E> = oneshot::Sender<Result<Response<O>, Failure<E>>>;

/// A request, as the worker takes it from the queue.
pub(super) struct Job<I, O, E> {
    pub(super) elements: usize,
    pub(super) input: I,
    pub(super) reply: Reply<O, E>,
}

/// A request with a response from a shared batch, and its output.
pub(super) struct Sample<I, O> {
    pub(super) input: I,
    pub(super) output: O,
}

/// Sends a response. The client may have left.
pub(super) fn answer<O, E>(reply: Reply<O, E>, result: Result<Response<O>, Failure<E>>) {
    let _client_left = reply.send(result);
}
