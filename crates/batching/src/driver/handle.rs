//! Where requests come from.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::job::{Failure, Job, Response, Submission, Worker};
use super::observer::QueueExit;
use super::shared::{Shared, now};
use crate::scheduler::{Cancelled, Rejection, Ticket};

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
    pub(super) const fn new(shared: Arc<Shared<K, W>>) -> Self {
        Self { shared }
    }

    /// Queues a request and waits for its output. Dropping the future takes the request out of the
    /// queue; if it already runs, its output is thrown away, and once the whole batch has nobody
    /// left who waits for it, the batch is stopped. A deadline that passes does the same.
    ///
    /// # Errors
    /// [`Failure`], once and for all: nothing of the request is left behind.
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
        let (pushed, arrival, wake, stop) = {
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
            let stop = if wake {
                None
            } else {
                state.scheduler.interrupt(now)
            };
            (pushed, arrival, wake, stop)
        };
        if let Some(check) = stop {
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

    /// Rows that wait now.
    #[must_use]
    pub fn waiting_rows(&self) -> usize {
        self.shared.lock().scheduler.waiting_rows()
    }

    /// From when on nobody waits for any of the runs that keep all workers busy, whether that is to come or
    /// has been. None while a worker is idle. Long after it, the runs can't be stopped.
    #[must_use]
    pub fn last_deadline(&self) -> Option<Instant> {
        self.shared.lock().scheduler.last_deadline()
    }

    /// From now on nothing is held back.
    pub fn flush(&self) {
        self.shared.lock().scheduler.flush();
        self.shared.wake_all();
    }

    /// From now on each request runs alone, until the model is closed. So do those that wait; those that share a batch
    /// that runs now are not answered from it, and wait again.
    pub fn run_alone(&self) {
        let check = self.shared.lock().run_alone();
        self.shared.end(check);
    }

    /// Whether each request runs alone: from the start, since [`Handle::run_alone`], or since a check
    /// has shown a difference.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.shared.lock().scheduler.is_alone()
    }

    /// Refuses further requests. Those that wait are run; then [`Driver::run`](super::Driver::run)
    /// returns.
    pub fn close(&self) {
        let check = self.shared.lock().scheduler.close();
        self.shared.end(check);
    }
}

/// The place of a request that has not been answered, given up when this is dropped.
struct Place<'a, K: Clone + Eq + Hash, W: Worker> {
    shared: &'a Shared<K, W>,
    /// None once answered.
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
            Cancelled::Running(Some(stop)) => stop.cancel(),
            Cancelled::Running(None) | Cancelled::Over => {}
        }
    }
}
