//! Gives the [`Machine`] the time, its batches to worker threads and the answers back.
//!
//! Pushing and cancelling happen on the caller's side, under a lock that is held for a few map
//! operations only: a full queue is known at once, and a request whose future is dropped has left
//! the queue when the drop returns. A worker that has run a batch takes the next one by itself, so
//! that under load no thread waits for another between two batches. One tokio task
//! ([`Driver::run`]) does the rest: it wakes idle workers and watches the deadlines.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as std_mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep_until, timeout_at};

use crate::machine::{Config, Entry, Machine, Rejection, Step, Ticket};
use crate::stop::Stop;

/// Runs batches. Each lives on an operating system thread of its own and may block it.
pub trait Worker: Send + 'static {
    /// What one request brings.
    type Input: Send + 'static;
    /// What one request gets.
    type Output: Send + 'static;
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
}

/// Why a request left the queue without running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftQueue {
    /// Its deadline passed.
    Expired,
    /// Whoever waited for its answer went away.
    Cancelled,
}

/// Is told what happens, for metrics. Called from the driver's task, the callers' and the workers'
/// threads, so it must be quick.
pub trait Observer: Send + Sync + 'static {
    /// A request begins to run, for the first time, after this wait in the queue.
    fn begins(&self, waited: Duration);
    /// A batch with this many rows took this long, whether it failed or not.
    fn ran(&self, rows: usize, took: Duration);
    /// A batch with this many rows was stopped after this time, because all of its clients had left.
    fn stopped(&self, rows: usize, after: Duration);
    /// A request left the queue without running.
    fn left_queue(&self, reason: LeftQueue);
}

/// One request.
#[derive(Debug)]
pub struct Submission<K, I> {
    /// What a request must have in common with others to share a batch.
    pub signature: K,
    /// Rows that the request has.
    pub rows: NonZeroUsize,
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
    /// From the push to the beginning of that batch.
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
    /// Its deadline passed, in the queue or while it ran.
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
    input: I,
    reply: Reply<O, E>,
}

type WorkerJob<W> = Job<<W as Worker>::Input, <W as Worker>::Output, <W as Worker>::Error>;
type WorkerEntry<K, W> = Entry<K, WorkerJob<W>>;

struct Shared<K, W: Worker> {
    machine: Mutex<Machine<K, WorkerJob<W>>>,
    /// There may be something to do.
    wake: Notify,
    observer: Arc<dyn Observer>,
}

/// What a thread that asks for work is told.
enum Next<K, W: Worker> {
    Run(Vec<WorkerEntry<K, W>>),
    /// Nothing, until woken or until this instant.
    Wait(Option<Instant>),
    /// Nothing for ever.
    Finished,
}

impl<K, W: Worker> Shared<K, W> {
    fn machine(&self) -> MutexGuard<'_, Machine<K, WorkerJob<W>>> {
        // The machine has no step in which a panic could leave it half changed.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, W: Worker> Shared<K, W> {
    /// Tells those whose time is up and gives what else is to do.
    fn next(&self, now: Instant) -> Next<K, W> {
        loop {
            let step = self.machine().poll(now);
            match step {
                Step::Run(batch) => return Next::Run(batch),
                Step::Wait(until) => return Next::Wait(until),
                Step::Finished => return Next::Finished,
                Step::Expired(entries) => {
                    for entry in entries {
                        self.observer.left_queue(LeftQueue::Expired);
                        answer(entry.payload.reply, Err(Failure::TimedOut));
                    }
                }
            }
        }
    }
}

/// Where requests are submitted. Clones share the queue.
pub struct Handle<K, W: Worker> {
    shared: Arc<Shared<K, W>>,
}

impl<K, W: Worker> Clone for Handle<K, W> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<K: Clone + Eq + Hash, W: Worker> Handle<K, W> {
    /// Queues a request and waits for its output. Dropping the future takes the request out of the
    /// queue; if it already runs, its output is thrown away.
    ///
    /// # Errors
    /// [`Failure`], once and for all: nothing of the request is left behind.
    pub async fn submit(
        &self,
        submission: Submission<K, W::Input>,
    ) -> Result<Answer<W::Output>, Failure<W::Error>> {
        let Submission {
            signature,
            rows,
            deadline,
            input,
        } = submission;
        let (reply, answer) = oneshot::channel();
        let now = tokio::time::Instant::now().into_std();
        let ticket =
            self.shared
                .machine()
                .push(now, signature, rows, deadline, Job { input, reply })?;
        let place = Place {
            shared: &self.shared,
            ticket,
            reason: LeftQueue::Cancelled,
        };
        self.shared.wake.notify_one();
        if let Ok(answer) = timeout_at(deadline.into(), answer).await {
            return answer.unwrap_or(Err(Failure::Gone));
        }
        place.leave(LeftQueue::Expired);
        Err(Failure::TimedOut)
    }

    /// Rows that wait now.
    #[must_use]
    pub fn waiting_rows(&self) -> usize {
        self.shared.machine().waiting_rows()
    }

    /// From now on no window holds requests back.
    pub fn flush(&self) {
        self.shared.machine().flush();
        self.shared.wake.notify_one();
    }

    /// Refuses further requests. Those that wait are run; then [`Driver::run`] returns.
    pub fn close(&self) {
        self.shared.machine().close();
        self.shared.wake.notify_one();
    }
}

/// A request's place in the queue, given up when this is dropped.
struct Place<'a, K: Clone + Eq + Hash, W: Worker> {
    shared: &'a Shared<K, W>,
    ticket: Ticket,
    reason: LeftQueue,
}

impl<K: Clone + Eq + Hash, W: Worker> Place<'_, K, W> {
    fn leave(mut self, reason: LeftQueue) {
        self.reason = reason;
    }
}

impl<K: Clone + Eq + Hash, W: Worker> Drop for Place<'_, K, W> {
    fn drop(&mut self) {
        let cancelled = self.shared.machine().cancel(self.ticket).is_some();
        if cancelled {
            self.shared.observer.left_queue(self.reason);
            // A closed queue may have become empty.
            self.shared.wake.notify_one();
        }
    }
}

/// What a worker's thread tells the driver.
#[derive(Clone, Copy)]
enum Report {
    /// It has nothing to run.
    Idle(usize),
    /// It is unwinding.
    Panicked,
}

/// The batcher's task. Nothing runs before [`Driver::run`] is polled.
pub struct Driver<K, W: Worker> {
    shared: Arc<Shared<K, W>>,
    /// One for each worker; holds one batch, sent only while the worker is idle.
    batches: Vec<std_mpsc::SyncSender<Vec<WorkerEntry<K, W>>>>,
    idle: Vec<usize>,
    reports: mpsc::Receiver<Report>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl<K, W> Driver<K, W>
where
    K: Clone + Eq + Hash + Send + 'static,
    W: Worker,
{
    /// Starts one thread for each worker.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        config: Config,
        first: W,
        others: impl IntoIterator<Item = W>,
        observer: Arc<dyn Observer>,
    ) -> std::io::Result<(Handle<K, W>, Self)> {
        let workers: Vec<W> = std::iter::once(first).chain(others).collect();
        let count = NonZeroUsize::new(workers.len()).unwrap_or(NonZeroUsize::MIN);
        let shared = Arc::new(Shared {
            machine: Mutex::new(Machine::new(config, count)),
            wake: Notify::new(),
            observer,
        });
        let (report_sender, reports) = mpsc::channel(count.get());
        let mut batches = Vec::with_capacity(count.get());
        let mut threads = Vec::with_capacity(count.get());
        for (index, worker) in workers.into_iter().enumerate() {
            let (sender, receiver) = std_mpsc::sync_channel(1);
            let thread = WorkerThread {
                index,
                worker,
                batches: receiver,
                reports: report_sender.clone(),
                shared: Arc::clone(&shared),
            };
            let name = format!("inference-{index}");
            threads.push(
                thread::Builder::new()
                    .name(name)
                    .spawn(move || thread.run())?,
            );
            batches.push(sender);
        }
        let handle = Handle {
            shared: Arc::clone(&shared),
        };
        let idle = (0..count.get()).collect();
        Ok((
            handle,
            Self {
                shared,
                batches,
                idle,
                reports,
                threads,
            },
        ))
    }

    /// Runs until the queue was closed and everything in it is answered, and the workers' threads
    /// have ended.
    ///
    /// # Errors
    /// [`WorkerDied`] at once when a worker panicked: what is queued is not answered any more.
    pub async fn run(mut self) -> Result<(), WorkerDied> {
        // Other workers may be in the middle of long batches, and the process is to end now.
        self.drive().await?;
        drop(self.batches);
        // The threads have nothing left to run, so this takes no longer than freeing their models.
        for thread in self.threads {
            thread.join().map_err(|_panic| WorkerDied)?;
        }
        Ok(())
    }

    async fn drive(&mut self) -> Result<(), WorkerDied> {
        loop {
            let until = match self.shared.next(tokio::time::Instant::now().into_std()) {
                Next::Run(batch) => {
                    self.dispatch(batch).await?;
                    continue;
                }
                Next::Finished => return Ok(()),
                Next::Wait(until) => until,
            };
            let timer = async {
                match until {
                    Some(until) => sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = timer => {}
                report = self.reports.recv() => self.note(report)?,
            }
        }
    }

    async fn dispatch(&mut self, batch: Vec<WorkerEntry<K, W>>) -> Result<(), WorkerDied> {
        // There is an idle worker, or the machine would have given no batch. It may have found the
        // queue empty just before this batch came, and its report is still under way.
        let worker = loop {
            if let Some(worker) = self.idle.pop() {
                break worker;
            }
            let report = self.reports.recv().await;
            self.note(report)?;
        };
        self.batches[worker]
            .try_send(batch)
            .map_err(|_undelivered| WorkerDied)
    }

    fn note(&mut self, report: Option<Report>) -> Result<(), WorkerDied> {
        match report {
            Some(Report::Idle(worker)) => {
                self.idle.push(worker);
                Ok(())
            }
            Some(Report::Panicked) | None => Err(WorkerDied),
        }
    }
}

struct WorkerThread<K, W: Worker> {
    index: usize,
    worker: W,
    batches: std_mpsc::Receiver<Vec<WorkerEntry<K, W>>>,
    reports: mpsc::Sender<Report>,
    shared: Arc<Shared<K, W>>,
}

impl<K: Clone + Eq + Hash, W: Worker> WorkerThread<K, W> {
    fn run(mut self) {
        let alarm = PanicAlarm(self.reports.clone());
        while let Ok(first) = self.batches.recv() {
            self.run_batch(first);
            while let Next::Run(next) = self.shared.next(Instant::now()) {
                self.run_batch(next);
            }
            if self
                .reports
                .blocking_send(Report::Idle(self.index))
                .is_err()
            {
                break;
            }
        }
        drop(alarm);
    }

    fn run_batch(&mut self, mut batch: Vec<WorkerEntry<K, W>>) {
        let observer = &self.shared.observer;
        // Clients may have left between the decision to run and now.
        batch.retain(|entry| {
            let left = entry.payload.reply.is_closed();
            if left {
                observer.left_queue(LeftQueue::Cancelled);
            }
            !left
        });
        if batch.is_empty() {
            self.shared.machine().succeeded();
            return;
        }
        let rows = batch.iter().map(Entry::rows).sum();
        let began = Instant::now();
        for entry in batch.iter().filter(|entry| !entry.ran_before()) {
            observer.begins(began.saturating_duration_since(entry.arrived()));
        }
        let inputs: Vec<&W::Input> = batch.iter().map(|entry| &entry.payload.input).collect();
        let stop = Stop::default();
        let outputs = self.worker.run(&inputs, &stop);
        let compute = began.elapsed();
        stop.end();
        observer.ran(rows, compute);
        match outputs {
            Ok(outputs) => {
                self.shared.machine().succeeded();
                for (entry, output) in batch.into_iter().zip(outputs) {
                    let queued = began.saturating_duration_since(entry.arrived());
                    answer(
                        entry.payload.reply,
                        Ok(Answer {
                            output,
                            batch_rows: rows,
                            queued,
                            compute,
                        }),
                    );
                }
            }
            Err(error) => {
                let to_blame = self.shared.machine().failed(batch);
                // This thread takes one half; an idle one may take the other.
                self.shared.wake.notify_one();
                if let Some(entry) = to_blame {
                    answer(entry.payload.reply, Err(Failure::Failed(error)));
                }
            }
        }
    }
}

/// Tells the driver when the worker's thread unwinds; otherwise the driver would wait for ever.
struct PanicAlarm(mpsc::Sender<Report>);

impl Drop for PanicAlarm {
    fn drop(&mut self) {
        if thread::panicking() {
            // The channel has room for one report of each worker.
            let _closed_or_full = self.0.try_send(Report::Panicked);
        }
    }
}

/// Answers a request whose client may have left; then nobody needs the answer.
fn answer<O, E>(reply: Reply<O, E>, result: Result<Answer<O>, Failure<E>>) {
    let _client_left = reply.send(result);
}

#[cfg(test)]
mod tests;
