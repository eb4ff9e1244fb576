//! What a worker is given, and what comes of it.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::cancel::CancelHandle;
use crate::scheduler::Rejection;
use crate::scheduler::sentinel::CheckResult;

/// Runs batches. Each lives on an operating system thread of its own and may block it.
pub trait Worker: Send + 'static {
    /// What one request brings.
    type Input: Send + 'static;
    /// What one request gets. Clones should be cheap: one is kept for each request that is to be
    /// checked.
    type Output: Clone + Send + 'static;
    /// Why a batch failed.
    type Error: Clone + Send + 'static;

    /// Runs the requests together and gives one output for each, in their order. When `stop` is
    /// requested nobody waits for the outputs any more: the sooner this returns, with whatever
    /// result, the sooner the next batch runs.
    ///
    /// # Errors
    /// When the batch as a whole failed. It is then run again in halves, so that only the request
    /// that can't run gets this error.
    fn run(
        &mut self,
        inputs: &[&Self::Input],
        stop: &CancelHandle,
    ) -> Result<Vec<Self::Output>, Self::Error>;

    /// Runs one request alone, and says whether it gets what it got in a batch with others, as closely
    /// as outputs of the model are to agree. When `stop` is requested, others need the worker: the
    /// sooner this returns, the better, with [`CheckResult::Undecided`] where the run was cut short. It is
    /// then called again later.
    ///
    /// A worker that can't compare leaves it at the default, and its batches aren't to be
    /// [`Sharing::Checked`](crate::Sharing).
    fn check(
        &mut self,
        input: &Self::Input,
        shared: &Self::Output,
        stop: &CancelHandle,
    ) -> CheckResult {
        let _not_compared = (input, shared, stop);
        CheckResult::Undecided
    }

    /// Time that processors have worked for this worker since its thread began, on all together.
    /// Asked on that thread, after each batch and each check.
    fn processor_time(&self) -> Duration;
}

/// One request.
#[derive(Debug)]
pub struct Submission<K, I> {
    /// What a request must have in common with others to share a batch.
    pub signature: K,
    /// Rows that the request has.
    pub rows: NonZeroUsize,
    /// Elements of its inputs, in all rows together: what a run takes grows with them.
    pub elements: usize,
    /// When its answer is worth nothing any more.
    pub deadline: Instant,
    /// What the worker gets.
    pub input: I,
}

/// An output, and the batch that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<O> {
    /// The worker's output for this request.
    pub output: O,
    /// Rows of the batch that the request ran in.
    pub batch_rows: usize,
    /// From the push to the beginning of that batch. For a request that was in batches before whose
    /// outputs were not given, this holds those runs too.
    pub queued: Duration,
    /// What that batch took to run.
    pub compute: Duration,
}

/// Why a request got no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure<E> {
    /// It was not queued.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Its deadline passed, in the queue or while it ran, or came too close for the run.
    #[error("the request's time is up")]
    TimedOut,
    /// The worker failed on it, alone in its batch.
    #[error("the request could not be run: {0}")]
    Failed(E),
    /// The driver or its worker ended before the request was answered.
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

/// A request that was answered from a shared batch, and its answer.
pub(super) struct Sample<I, O> {
    pub(super) input: I,
    pub(super) output: O,
}

/// Answers a request whose client may have left; then nobody needs the answer.
pub(super) fn answer<O, E>(reply: Reply<O, E>, result: Result<Response<O>, Failure<E>>) {
    let _client_left = reply.send(result);
}
