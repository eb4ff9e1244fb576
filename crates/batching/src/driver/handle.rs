//! Submits requests to the batcher.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::job::{Failure, Job, Response, Submission, Worker};
use super::observer::QueueExit;
use super::shared::{Shared, now};
use crate::scheduler::{Cancelled, Rejection, Ticket};

/// Submits requests. Clones share the queue.
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
    pub(super) const fn new(shared: Arc<Shared<K, W>>) -> Self {
        Self { shared }
    }

    /// Queues a request and waits for its output. If the future is dropped, the request leaves the queue. If it
    /// already runs, its output is dropped, and the batch is cancelled once it has no clients. A missed deadline has
    /// the same effect.
    ///
    /// # Errors
    /// A [`Failure`]: the request is over.
    pub async fn submit(
        &self,
        submission: Submission<K, W::Input>,
    ) -> Result<Response<W::Output>, Failure<W::Error>> {
        let Submission {
            signature,
            rows,
            elements,
            deadline,
            input,
        } = submission;
        let (reply, answer) = oneshot::channel();
        let job = Job {
            elements,
            input,
            reply,
        };
        let (pushed, arrival, wake, cancel) = {
            let mut state = self.shared.lock();
            let now = now();
            let pushed = state.scheduler.push(now, signature, rows, deadline, job);
            let arrival = match pushed {
                Ok(_) | Err(Rejection::Overloaded { .. }) => {
                    let lifetime = deadline.saturating_duration_since(now);
                    state.cost_model.arrives(rows, elements, lifetime)
                }
                Err(Rejection::TooManyRows { .. } | Rejection::Closed) => None,
            };
            let wake = pushed.is_ok() && state.claim_sleeper();
            let cancel = if wake {
                None
            } else {
                state.scheduler.interrupt(now)
            };
            (pushed, arrival, wake, cancel)
        };
        if let Some(check) = cancel {
            check.cancel();
        }
        if let Some(arrival) = arrival {
            self.shared.observer.arrived(&arrival);
        }
        let ticket = pushed?;
        let mut place = Place {
            shared: &self.shared,
            ticket: Some(ticket),
            reason: QueueExit::Cancelled,
        };
        if wake {
            self.shared.wake_claimed();
        }
        if let Ok(answer) = timeout_at(deadline.into(), answer).await {
            place.ticket = None;
            return answer.unwrap_or(Err(Failure::Gone));
        }
        place.reason = QueueExit::Expired;
        Err(Failure::TimedOut)
    }

    /// Queued rows.
    #[must_use]
    pub fn waiting_rows(&self) -> usize {
        self.shared.lock().scheduler.waiting_rows()
    }

    /// The latest deadline of the runs that occupy all workers, past or future. None while a worker is idle. Long
    /// after it, the runs can't be cancelled.
    #[must_use]
    pub fn last_deadline(&self) -> Option<Instant> {
        self.shared.lock().scheduler.last_deadline()
    }

    /// From now on batches are never delayed.
    pub fn flush(&self) {
        self.shared.lock().scheduler.flush();
        self.shared.wake_all();
    }

    /// From now on each request runs alone, until the model is closed. That includes queued requests. Outputs of
    /// running shared batches are dropped, and their requests are queued again.
    pub fn run_alone(&self) {
        let check = self.shared.lock().run_alone();
        self.shared.end(check);
    }

    /// Whether each request runs alone: from the start, since [`Handle::run_alone`], or since a check found a
    /// difference.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.shared.lock().scheduler.is_alone()
    }

    /// Rejects further requests. Queued ones run, then [`Driver::run`](super::Driver::run) returns.
    pub fn close(&self) {
        let check = self.shared.lock().scheduler.close();
        self.shared.end(check);
    }
}

/// A request without a response yet, which is cancelled when this is dropped.
struct Place<'a, K: Clone + Eq + Hash, W: Worker> {
    shared: &'a Shared<K, W>,
    /// None after the response.
    ticket: Option<Ticket>,
    reason: QueueExit,
}

impl<K: Clone + Eq + Hash, W: Worker> Drop for Place<'_, K, W> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else {
            return;
        };
        let cancelled = self.shared.lock().scheduler.cancel(ticket);
        match cancelled {
            Cancelled::Waiting(entry) => self.shared.exited_queue(&entry, self.reason),
            Cancelled::Running(Some(cancel)) => cancel.cancel(),
            Cancelled::Running(None) | Cancelled::Over => {}
        }
    }
}
