//! State that handles, worker threads and the driver's task share.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::job::{Failure, Job, Sample, Worker, answer};
use super::observer::{Observer, QueueExit};
use crate::cancel::CancelHandle;
use crate::cost_model::{BatchCost, CostModel};
use crate::latency_model::BatchLatency;
use crate::scheduler::{Action, Batch, CheckTask, Config, Entry, Scheduler};

/// The present time, which tests can pause.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

pub(super) type WorkerJob<W> =
    Job<<W as Worker>::Input, <W as Worker>::Output, <W as Worker>::Error>;

pub(super) type WorkerSample<W> = Sample<<W as Worker>::Input, <W as Worker>::Output>;

/// The next task of a worker thread.
pub(super) enum Task<K, W: Worker> {
    Run(Batch<K, WorkerJob<W>>),
    Check(CheckTask<WorkerSample<W>>),
}

pub(super) struct State<K, W: Worker> {
    pub(super) scheduler: Scheduler<K, WorkerJob<W>, WorkerSample<W>>,
    pub(super) cost_model: CostModel,
    /// Threads that sleep in [`Shared::work`] and are not being woken. May be too high.
    sleepers: usize,
}

impl<K, W: Worker> State<K, W> {
    /// Whether a thread sleeps, which the caller must then wake. Waking is a system call, and a woken thread handles
    /// everything that has arrived meanwhile.
    pub(super) const fn claim_sleeper(&mut self) -> bool {
        let any = self.sleepers > 0;
        self.sleepers = self.sleepers.saturating_sub(1);
        any
    }
}

impl<K: Clone + Eq + Hash, W: Worker> State<K, W> {
    /// From now on each request runs alone. Returns the handle of a running check.
    pub(super) fn run_alone(&mut self) -> Option<CancelHandle> {
        self.cost_model.run_alone();
        self.scheduler.run_alone()
    }
}

pub(super) struct Shared<K, W: Worker> {
    state: Mutex<State<K, W>>,
    /// Idle worker threads wait here.
    work: Condvar,
    /// The instant at which to wake one of them.
    wake_at: watch::Sender<Option<Instant>>,
    pub(super) observer: Arc<dyn Observer>,
}

impl<K: Clone + Eq + Hash, W: Worker> Shared<K, W> {
    pub(super) fn new(
        config: Config,
        workers: NonZeroUsize,
        before: &[BatchCost],
        observer: Arc<dyn Observer>,
    ) -> (Self, watch::Receiver<Option<Instant>>) {
        let (wake_at, receiver) = watch::channel(None);
        let measured: Vec<BatchLatency> = before.iter().map(BatchCost::measured).collect();
        let scheduler = Scheduler::new(config, workers, &measured);
        let mut cost_model = CostModel::new(config.max_rows, before);
        if scheduler.is_alone() {
            cost_model.run_alone();
        }
        let shared = Self {
            state: Mutex::new(State {
                scheduler,
                cost_model,
                sleepers: 0,
            }),
            work: Condvar::new(),
            wake_at,
            observer,
        };
        (shared, receiver)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<K, W>> {
        // No step of a change can panic, so the state is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the claimed thread.
    pub(super) fn wake_claimed(&self) {
        self.work.notify_one();
    }

    /// Wakes an idle worker, or cancels a check.
    pub(super) fn wake_one(&self) {
        let mut state = self.lock();
        if state.claim_sleeper() {
            drop(state);
            self.wake_claimed();
            return;
        }
        let check = state.scheduler.interrupt(now());
        drop(state);
        if let Some(check) = check {
            check.cancel();
        }
    }

    /// Wakes every idle worker.
    pub(super) fn wake_all(&self) {
        // A thread that is about to sleep holds the lock: without it, this could be too early.
        self.lock().sleepers = 0;
        self.work.notify_all();
    }

    /// Cancels a running check, and wakes every idle worker.
    pub(super) fn end(&self, check: Option<CancelHandle>) {
        if let Some(check) = check {
            check.cancel();
        }
        self.wake_all();
    }

    /// Waits for a task. None if there will never be another.
    pub(super) fn next_task(&self) -> Option<Task<K, W>> {
        let mut state = self.lock();
        loop {
            match state.scheduler.poll(now()) {
                Action::Run(batch) => {
                    let more = state.scheduler.waiting_rows() > 0 && state.claim_sleeper();
                    drop(state);
                    if more {
                        self.wake_claimed();
                    }
                    return Some(Task::Run(batch));
                }
                Action::Check(check_task) => {
                    // An overdue check precedes queued requests, on this thread only.
                    let more = state.scheduler.waiting_rows() > 0 && state.claim_sleeper();
                    drop(state);
                    if more {
                        self.wake_claimed();
                    }
                    return Some(Task::Check(check_task));
                }
                Action::Expired(entries) => {
                    drop(state);
                    for entry in entries {
                        self.exited_queue(&entry, QueueExit::Expired);
                        answer(entry.payload.reply, Err(Failure::TimedOut));
                    }
                    state = self.lock();
                }
                Action::Wait(until) => {
                    if until.is_some() {
                        self.wake_at.send_if_modified(|wake_at| {
                            let other = *wake_at != until;
                            *wake_at = until;
                            other
                        });
                    }
                    state.sleepers += 1;
                    state = self
                        .work
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Action::Finished => {
                    drop(state);
                    self.wake_all();
                    return None;
                }
            }
        }
    }

    /// Wakes a worker at its requested instant.
    pub(super) fn on_timer(&self, due: Option<Instant>) {
        // Another instant may have been set meanwhile.
        self.wake_at.send_if_modified(|wake_at| {
            let timer_expires = *wake_at == due;
            if timer_expires {
                *wake_at = None;
            }
            timer_expires
        });
        self.wake_one();
    }

    /// A request leaves the queue. One that ran before, in a failed batch, counts as run.
    pub(super) fn exited_queue(&self, entry: &Entry<K, WorkerJob<W>>, reason: QueueExit) {
        if !entry.ran_before() {
            self.observer.exited_queue(reason);
        }
    }

    /// Drops queued requests and ends the worker threads.
    pub(super) fn abandon(&self) {
        // Dropped after the lock: a dropped reply informs its client.
        let given_up = self.lock().scheduler.abandon();
        drop(given_up);
        self.wake_all();
    }
}
