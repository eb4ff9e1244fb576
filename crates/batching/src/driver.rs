//! Connects the [`Scheduler`](crate::scheduler::Scheduler) with the clock, the worker threads and the clients.
//!
//! All threads use the scheduler under one lock, which is held for a few map operations only. A push is rejected at
//! once, and a request whose future is dropped has left the queue when the drop returns. A worker takes its next batch
//! by itself: under load no thread waits for another between two batches, and a push wakes no thread. A push that
//! finds a worker idle wakes its thread.
//!
//! A check of a shared batch ([`crate::scheduler::sentinel`]) runs on the thread of an idle worker. A push that finds
//! no sleeping thread cancels it.
//!
//! One tokio task ([`Driver::run`]) has the timer of delayed batches, and notices when workers end. Each submission
//! has its own timer for its deadline.

mod handle;
mod job;
mod observer;
mod shared;
mod worker;

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

pub use handle::Handle;
pub use job::{Failure, Response, Submission, Worker};
pub use observer::{Observer, QueueExit};

use crate::cost_model::BatchCost;
use crate::scheduler::Config;
use shared::Shared;
use worker::{Ended, WorkerThread};

/// A worker thread panicked. Its requests are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker thread panicked")]
pub struct WorkerDied;

/// The task of the batcher. Workers begin at once; without [`Driver::run`] delayed batches never run. When it is
/// dropped, queued requests fail with [`Failure::Gone`].
pub struct Driver<K: Clone + Eq + Hash, W: Worker> {
    shared: Arc<Shared<K, W>>,
    wake_at: watch::Receiver<Option<Instant>>,
    ended: mpsc::UnboundedReceiver<Ended>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl<K, W> Driver<K, W>
where
    K: Clone + Eq + Hash + Send + 'static,
    W: Worker,
{
    /// Starts one thread per worker, with the costs of earlier warm runs, oldest first. Must be called in a tokio
    /// runtime.
    ///
    /// # Errors
    /// If the operating system can't create a thread, or outside of a runtime.
    pub fn start(
        config: Config,
        first: W,
        others: impl IntoIterator<Item = W>,
        before: &[BatchCost],
        observer: Arc<dyn Observer>,
    ) -> std::io::Result<(Handle<K, W>, Self)> {
        let runtime = tokio::runtime::Handle::try_current().map_err(std::io::Error::other)?;
        let workers: Vec<W> = std::iter::once(first).chain(others).collect();
        let count = NonZeroUsize::new(workers.len()).unwrap_or(NonZeroUsize::MIN);
        let (shared, wake_at) = Shared::new(config, count, before, observer);
        let (ended_sender, ended) = mpsc::unbounded_channel();
        // Created first: if it is dropped on an error below, it ends the started threads.
        let mut driver = Self {
            shared: Arc::new(shared),
            wake_at,
            ended,
            threads: Vec::with_capacity(count.get()),
        };
        for (index, worker) in workers.into_iter().enumerate() {
            let thread = WorkerThread {
                worker,
                shared: Arc::clone(&driver.shared),
                cpu_time: Duration::ZERO,
            };
            let (ended, runtime) = (ended_sender.clone(), runtime.clone());
            let thread = thread::Builder::new()
                .name(format!("inference-{index}"))
                .spawn(move || {
                    // For the clock of the runtime.
                    let _in_runtime = runtime.enter();
                    thread.run(ended);
                })?;
            driver.threads.push(thread);
        }
        Ok((Handle::new(Arc::clone(&driver.shared)), driver))
    }

    /// Runs until the queue is closed, all requests are answered, and the worker threads have ended.
    ///
    /// # Errors
    /// [`WorkerDied`] as soon as a worker panics. Queued requests are dropped.
    pub async fn run(mut self) -> Result<(), WorkerDied> {
        let mut alive = self.threads.len();
        while alive > 0 {
            let wake_at = *self.wake_at.borrow_and_update();
            let timer_expires = async {
                match wake_at {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer_expires => self.shared.on_timer(wake_at),
                _changed = self.wake_at.changed() => {}
                ended = self.ended.recv() => match ended {
                    Some(Ended::Well) => alive -= 1,
                    // Other workers may be in long batches, and the process must end now.
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
