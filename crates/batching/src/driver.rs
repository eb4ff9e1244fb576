//! Gives the [`Machine`](crate::machine::Machine) the time, its batches to worker threads and the answers back.
//!
//! Everybody works on the machine under one lock that is held for a few map operations only. A push
//! is refused at once, and a request whose future is dropped has left the queue when the drop
//! returns. A worker takes its next batch by itself: under load no thread waits for another between
//! two batches, and nobody is woken by a push. A push that finds a worker idle wakes its thread.
//!
//! A check of a shared batch ([`crate::machine::sentinel`]) runs on the thread of a worker that has
//! nothing else to do. A push that finds no thread asleep stops it.
//!
//! One tokio task ([`Driver::run`]) keeps the time of batches that are held back, and notices when
//! the workers end. Deadlines are kept by those who submit, each its own.

mod handle;
mod shared;
mod worker;

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

pub use handle::Handle;

use crate::load::{Arrival, Ran};
use crate::machine::sentinel::Check;
use crate::machine::{Config, Rejection};
use crate::stop::Stop;
use shared::Shared;
use worker::{Ended, WorkerThread};

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
        stop: &Stop,
    ) -> Result<Vec<Self::Output>, Self::Error>;

    /// Runs one request alone, and says whether it gets what it got in a batch with others, as closely
    /// as outputs of the model are to agree. When `stop` is requested, others need the worker: the
    /// sooner this returns, the better, with [`Check::Undecided`] where the run was cut short. It is
    /// then called again later.
    ///
    /// A worker that can't compare leaves it at the default, and its batches aren't to be
    /// [`Sharing::Checked`](crate::Sharing).
    fn check(&mut self, input: &Self::Input, shared: &Self::Output, stop: &Stop) -> Check {
        let _not_compared = (input, shared, stop);
        Check::Undecided
    }

    /// Time that processors have worked for this worker since its thread began, on all together.
    /// Asked on that thread, after each batch and each check.
    fn processor_time(&self) -> Duration;
}

/// Why a request left the queue without running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftQueue {
    /// Its deadline passed, or came too close for the run.
    Expired,
    /// Whoever waited for its answer went away.
    Cancelled,
}

/// Is told what happens, for metrics. Called from the callers' and the workers' threads, so it must
/// be quick. Rejections are the callers' to count: they get them as [`Failure::Rejected`].
pub trait Observer: Send + Sync + 'static {
    /// A request arrived that the batcher can run, whether it was queued or refused for overload.
    /// Before anything is known of what batches cost this isn't called; those requests then come with
    /// a later one.
    fn arrived(&self, arrival: &Arrival);
    /// A request begins to run, for the first time, after this wait in the queue. Each request that
    /// is accepted comes here or to [`Observer::left_queue`], and to one of them only.
    fn begins(&self, waited: Duration);
    /// A batch with this many rows took this long, whether it failed or not.
    fn ran(&self, rows: usize, took: Duration);
    /// A batch with this many rows was stopped after this time, because all of its clients had left.
    fn stopped(&self, rows: usize, after: Duration);
    /// A request left the queue without running.
    fn left_queue(&self, reason: LeftQueue);
    /// A request of a shared batch ran again, alone. [`Check::Different`] comes once at most: from then
    /// on each request runs alone, and nothing more is checked.
    fn checked(&self, check: Check);
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
pub struct Answer<O> {
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

/// A worker's thread ended by a panic. The requests that it ran are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker thread panicked")]
pub struct WorkerDied;

type Reply<O, E> = oneshot::Sender<Result<Answer<O>, Failure<E>>>;

struct Job<I, O, E> {
    elements: usize,
    input: I,
    reply: Reply<O, E>,
}

/// A request that was answered from a shared batch, and its answer.
struct Sample<I, O> {
    input: I,
    output: O,
}

/// Answers a request whose client may have left; then nobody needs the answer.
fn answer<O, E>(reply: Reply<O, E>, result: Result<Answer<O>, Failure<E>>) {
    let _client_left = reply.send(result);
}

/// The time, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The batcher's task. The workers begin at once; without [`Driver::run`] nothing that is held back
/// is ever let go. Dropped, it gives up what waits: that fails with [`Failure::Gone`].
pub struct Driver<K: Clone + Eq + Hash, W: Worker> {
    shared: Arc<Shared<K, W>>,
    alarm: watch::Receiver<Option<Instant>>,
    ended: mpsc::UnboundedReceiver<Ended>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl<K, W> Driver<K, W>
where
    K: Clone + Eq + Hash + Send + 'static,
    W: Worker,
{
    /// Starts one thread for each worker. What batches cost in earlier runs of a worker that was warm,
    /// oldest first, is known from the start. To be called in a tokio runtime.
    ///
    /// # Errors
    /// When the operating system gives no thread, and outside of a runtime.
    pub fn start(
        config: Config,
        first: W,
        others: impl IntoIterator<Item = W>,
        before: &[Ran],
        observer: Arc<dyn Observer>,
    ) -> std::io::Result<(Handle<K, W>, Self)> {
        let runtime = tokio::runtime::Handle::try_current().map_err(std::io::Error::other)?;
        let workers: Vec<W> = std::iter::once(first).chain(others).collect();
        let count = NonZeroUsize::new(workers.len()).unwrap_or(NonZeroUsize::MIN);
        let (shared, alarm) = Shared::new(config, count, before, observer);
        let (ended_sender, ended) = mpsc::unbounded_channel();
        // Made first: dropped on an error below, it ends the threads that were started.
        let mut driver = Self {
            shared: Arc::new(shared),
            alarm,
            ended,
            threads: Vec::with_capacity(count.get()),
        };
        for (index, worker) in workers.into_iter().enumerate() {
            let thread = WorkerThread {
                worker,
                shared: Arc::clone(&driver.shared),
                processor_time: Duration::ZERO,
            };
            let (ended, runtime) = (ended_sender.clone(), runtime.clone());
            let thread = thread::Builder::new()
                .name(format!("inference-{index}"))
                .spawn(move || {
                    // For the runtime's clock.
                    let _in_runtime = runtime.enter();
                    thread.run(ended);
                })?;
            driver.threads.push(thread);
        }
        Ok((Handle::new(Arc::clone(&driver.shared)), driver))
    }

    /// Runs until the queue was closed and everything in it is answered, and the workers' threads
    /// have ended.
    ///
    /// # Errors
    /// [`WorkerDied`] at once when a worker panicked: what is queued is given up.
    pub async fn run(mut self) -> Result<(), WorkerDied> {
        let mut alive = self.threads.len();
        while alive > 0 {
            let alarm = *self.alarm.borrow_and_update();
            let rings = async {
                match alarm {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rings => self.shared.ring(alarm),
                _changed = self.alarm.changed() => {}
                ended = self.ended.recv() => match ended {
                    Some(Ended::Well) => alive -= 1,
                    // Others may be in the middle of long batches, and the process is to end now.
                    Some(Ended::Panicked) | None => return Err(WorkerDied),
                },
            }
        }
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_panic| WorkerDied)?;
        }
        Ok(())
    }
}

impl<K: Clone + Eq + Hash, W: Worker> Drop for Driver<K, W> {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

#[cfg(test)]
mod tests;
