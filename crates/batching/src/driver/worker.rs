//! A worker's thread.

use std::hash::Hash;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::job::{Failure, Job, Response, Sample, Worker, answer};
use super::observer::QueueExit;
use super::shared::{Shared, Task, WorkerJob, WorkerSample, now};
use crate::cost_model::BatchCost;
use crate::scheduler::sentinel::CheckResult;
use crate::scheduler::{Batch, CheckTask, Entry, Outputs};

/// How a worker's thread ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    Panicked,
}

pub(super) struct WorkerThread<K, W: Worker> {
    pub(super) worker: W,
    pub(super) shared: Arc<Shared<K, W>>,
    /// CPU time at the end of the latest batch or check.
    pub(super) cpu_time: Duration,
}

impl<K: Clone + Eq + Hash, W: Worker> WorkerThread<K, W> {
    pub(super) fn run(self, ended: mpsc::UnboundedSender<Ended>) {
        // Dropped last: the worker and its resources are gone by then.
        let _notice = EndNotice(ended);
        let mut thread = self;
        while let Some(task) = thread.shared.next_task() {
            match task {
                Task::Run(batch) => thread.run_batch(batch),
                Task::Check(check_task) => thread.check(check_task),
            }
        }
    }

    pub(super) fn check(&mut self, check_task: CheckTask<WorkerSample<W>>) {
        let Sample { input, output } = &check_task.sample;
        let began = now();
        let check = self.worker.check(input, output, &check_task.cancel);
        let ended = now();
        // The check isn't part of the cost of the next batch.
        self.cpu_time = self.worker.cpu_time();
        let stopped = check_task.cancel.finish() && check == CheckResult::Undecided;
        let check = (!stopped).then_some(check);
        let took = ended.saturating_duration_since(began);
        let mut state = self.shared.lock();
        let settled = state.scheduler.checked(ended, check_task, took, check);
        if settled == Some(CheckResult::Different) {
            state.cost_model.run_alone();
        }
        drop(state);
        if let Some(check) = settled {
            self.shared.observer.checked(check);
        }
    }

    pub(super) fn run_batch(&mut self, batch: Batch<K, WorkerJob<W>>) {
        let Batch {
            run,
            mut entries,
            cancel,
        } = batch;
        let observer = &self.shared.observer;
        let began = now();
        // Clients may have left since the decision to run.
        entries.retain(|entry| {
            let left = entry.payload.reply.is_closed();
            if left {
                let expired = entry.deadline() <= began;
                let reason = if expired {
                    QueueExit::Expired
                } else {
                    QueueExit::Cancelled
                };
                self.shared.exited_queue(entry, reason);
            }
            !left
        });
        if entries.is_empty() {
            self.shared.lock().scheduler.skipped(run);
            return;
        }
        let rows = entries.iter().map(Entry::rows).sum();
        for entry in entries.iter().filter(|entry| !entry.ran_before()) {
            observer.begins(began.saturating_duration_since(entry.arrived()));
        }
        let inputs: Vec<&W::Input> = entries.iter().map(|entry| &entry.payload.input).collect();
        let outputs = self.worker.run(&inputs, &cancel);
        let ended = now();
        let compute = ended.saturating_duration_since(began);
        let cpu_time = self.worker.cpu_time();
        let ran = BatchCost {
            rows,
            elements: entries.iter().map(|entry| entry.payload.elements).sum(),
            took: compute,
            cpu_time: cpu_time.saturating_sub(self.cpu_time),
        };
        self.cpu_time = cpu_time;
        if cancel.finish() {
            observer.stopped(rows, compute);
            let mut state = self.shared.lock();
            state.scheduler.stopped(run, rows, compute);
            state.cost_model.stopped(ran);
            return;
        }
        observer.ran(rows, compute);
        match outputs {
            Ok(outputs) => {
                let mut state = self.shared.lock();
                let given = state
                    .scheduler
                    .succeeded(ended, run, ran.measured(), entries);
                state.cost_model.ran(ran);
                drop(state);
                let Outputs::Give { batch, keep } = given else {
                    // This thread takes one of the requests; idle threads may take others.
                    self.shared.wake_one();
                    return;
                };
                let mut kept = None;
                for (index, (entry, output)) in batch.into_iter().zip(outputs).enumerate() {
                    let queued = began.saturating_duration_since(entry.arrived());
                    let Job { input, reply, .. } = entry.payload;
                    if keep == Some(index) {
                        let output = output.clone();
                        kept = Some(Sample { input, output });
                    }
                    let answered = Response {
                        output,
                        batch_rows: rows,
                        queued,
                        compute,
                    };
                    answer(reply, Ok(answered));
                }
                if let Some(sample) = kept {
                    self.shared.lock().scheduler.keep(ended, sample);
                }
            }
            Err(error) => {
                let to_blame = self.shared.lock().scheduler.failed(run, entries);
                // This thread takes one half; an idle thread may take the other.
                self.shared.wake_one();
                if let Some(entry) = to_blame {
                    answer(entry.payload.reply, Err(Failure::Failed(error)));
                }
            }
        }
    }
}

/// Informs the driver when the worker thread ends, also after a panic.
struct EndNotice(mpsc::UnboundedSender<Ended>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        let ended = if thread::panicking() {
            Ended::Panicked
        } else {
            Ended::Well
        };
        let _driver_gone = self.0.send(ended);
    }
}
