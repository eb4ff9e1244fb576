//! How a running batch that nobody waits for any more is ended.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type OnRequest = Box<dyn FnOnce() + Send>;

enum State {
    /// With what to do when the stop is requested.
    Running(Option<OnRequest>),
    Cancelled,
    /// The run is over: a request comes too late.
    Over,
}

/// Ends one run of one batch. Clones are the same stop.
///
/// A worker that can look up in between asks [`CancelHandle::is_cancelled`]; one that is deep in a foreign
/// library hands in what ends the call there, by [`CancelHandle::on_cancel`].
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
    /// Whether the run is to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.state(), State::Cancelled)
    }

    /// Has `action` called, on another thread, when the run is to end; at once if it already is. It
    /// replaces an action given before. It is called at most once and never after
    /// [`Worker::run`](crate::Worker::run) has returned, so it may act on what outlives the run.
    /// It must be quick and must not use this stop.
    pub fn on_cancel(&self, action: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        match &mut *state {
            State::Running(registered) => *registered = Some(Box::new(action)),
            State::Cancelled => action(),
            State::Over => {}
        }
    }

    /// The run is to end. Nothing happens when it is over.
    pub fn cancel(&self) {
        let mut state = self.state();
        if let State::Running(action) = &mut *state {
            let action = action.take();
            *state = State::Cancelled;
            // Under the lock: the run's end waits for it.
            if let Some(action) = action {
                action();
            }
        }
    }

    /// The run has ended. Gives whether that was requested.
    pub(crate) fn finish(&self) -> bool {
        let before = std::mem::replace(&mut *self.state(), State::Over);
        matches!(before, State::Cancelled)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment: a panicking action leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counted(stop: &CancelHandle) -> Arc<AtomicUsize> {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        stop.on_cancel(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        calls
    }

    #[test]
    fn a_request_calls_what_was_registered_once() {
        let stop = CancelHandle::default();
        let calls = counted(&stop);
        assert!(!stop.is_cancelled());
        stop.cancel();
        stop.clone().cancel();
        assert!(stop.is_cancelled());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert!(stop.finish());
    }

    #[test]
    fn what_is_registered_after_the_request_is_called_at_once() {
        let stop = CancelHandle::default();
        stop.cancel();
        assert_eq!(counted(&stop).load(Ordering::Relaxed), 1);
    }

    #[test]
    fn nothing_is_called_once_the_run_is_over() {
        let stop = CancelHandle::default();
        let calls = counted(&stop);
        assert!(!stop.finish());
        stop.cancel();
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        assert_eq!(counted(&stop).load(Ordering::Relaxed), 0);
        assert!(!stop.is_cancelled());
    }
}
