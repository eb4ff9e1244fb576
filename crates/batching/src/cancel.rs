//! A handle that cancels a running batch without clients.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type OnRequest = Box<dyn FnOnce() + Send>;

enum State {
    /// With the action to call when the run is cancelled.
    Running(Option<OnRequest>),
    Cancelled,
    /// The run is over: it can't be cancelled any more.
    Over,
}

/// Cancels one run of one batch. Clones are the same handle.
///
/// A worker can check [`CancelHandle::is_cancelled`] during a run. For a call into a foreign library it registers the
/// action that ends the call, by [`CancelHandle::on_cancel`].
#[derive(Clone)]
pub struct CancelHandle {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CancelHandle")
            .field("requested", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl Default for CancelHandle {
    fn default() -> Self {
        Self {
            state: Arc::new(Mutex::new(State::Running(None))),
        }
    }
}

impl CancelHandle {
    /// Whether the run is cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.state(), State::Cancelled)
    }

    /// Registers the action to call, on another thread, when the run is cancelled; at once if it already is. It
    /// replaces an earlier action. It is called at most once, and never after [`Worker::run`](crate::Worker::run) has
    /// returned, so it may act on what outlives the run. It must be quick and must not use this handle.
    pub fn on_cancel(&self, action: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        match &mut *state {
            State::Running(registered) => *registered = Some(Box::new(action)),
            State::Cancelled => action(),
            State::Over => {}
        }
    }

    /// Cancels the run. Without effect when the run is over.
    pub fn cancel(&self) {
        let mut state = self.state();
        if let State::Running(action) = &mut *state {
            let action = action.take();
            *state = State::Cancelled;
            // Under the lock: the end of the run waits for it.
            if let Some(action) = action {
                action();
            }
        }
    }

    /// Ends the run. Returns whether it was cancelled.
    pub(crate) fn finish(&self) -> bool {
        let before = std::mem::replace(&mut *self.state(), State::Over);
        matches!(before, State::Cancelled)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment, so a panicking action leaves no inconsistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counted(cancel: &CancelHandle) -> Arc<AtomicUsize> {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        cancel.on_cancel(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        calls
    }

    #[test]
    fn a_request_calls_what_was_registered_once() {
        let cancel = CancelHandle::default();
        let calls = counted(&cancel);
        assert!(!cancel.is_cancelled());
        cancel.cancel();
        cancel.clone().cancel();
        assert!(cancel.is_cancelled());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert!(cancel.finish());
    }

    #[test]
    fn what_is_registered_after_the_request_is_called_at_once() {
        let cancel = CancelHandle::default();
        cancel.cancel();
        assert_eq!(counted(&cancel).load(Ordering::Relaxed), 1);
    }

    #[test]
    fn nothing_is_called_once_the_run_is_over() {
        let cancel = CancelHandle::default();
        let calls = counted(&cancel);
        assert!(!cancel.finish());
        cancel.cancel();
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        assert_eq!(counted(&cancel).load(Ordering::Relaxed), 0);
        assert!(!cancel.is_cancelled());
    }
}
