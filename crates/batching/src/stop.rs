//! How a running batch that nobody waits for any more is ended.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type OnRequest = Box<dyn FnOnce() + Send>;

enum State {
    /// With what to do when the stop is requested.
    Running(Option<OnRequest>),
    Requested,
    /// The run is over: a request comes too late.
    Over,
}

/// Ends one run of one batch. Clones are the same stop.
///
/// A worker that can look up in between asks [`Stop::is_requested`]; one that is deep in a foreign
/// library hands in what ends the call there, by [`Stop::on_request`].
#[derive(Clone)]
pub struct Stop {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Stop")
            .field("requested", &self.is_requested())
            .finish_non_exhaustive()
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            state: Arc::new(Mutex::new(State::Running(None))),
        }
    }
}

impl Stop {
    /// Whether the run is to end.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        matches!(*self.state(), State::Requested)
    }

    /// Has `action` called, on another thread, when the run is to end; at once if it already is. It
    /// replaces an action given before. It is called at most once and never after
    /// [`Worker::run`](crate::Worker::run) has returned, so it may act on what outlives the run.
    /// It must be quick and must not use this stop.
    pub fn on_request(&self, action: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        match &mut *state {
            State::Running(registered) => *registered = Some(Box::new(action)),
            State::Requested => action(),
            State::Over => {}
        }
    }

    /// The run is to end. Nothing happens when it is over.
    pub fn request(&self) {
        let mut state = self.state();
        if let State::Running(action) = &mut *state {
            let action = action.take();
            *state = State::Requested;
            // Under the lock: the run's end waits for it.
            if let Some(action) = action {
                action();
            }
        }
    }

    /// The run has ended. Gives whether that was requested.
    pub(crate) fn end(&self) -> bool {
        let before = std::mem::replace(&mut *self.state(), State::Over);
        matches!(before, State::Requested)
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

    fn counted(stop: &Stop) -> Arc<AtomicUsize> {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        stop.on_request(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        calls
    }

    #[test]
    fn a_request_calls_what_was_registered_once() {
        let stop = Stop::default();
        let calls = counted(&stop);
        assert!(!stop.is_requested());
        stop.request();
        stop.clone().request();
        assert!(stop.is_requested());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert!(stop.end());
    }

    #[test]
    fn what_is_registered_after_the_request_is_called_at_once() {
        let stop = Stop::default();
        stop.request();
        assert_eq!(counted(&stop).load(Ordering::Relaxed), 1);
    }

    #[test]
    fn nothing_is_called_once_the_run_is_over() {
        let stop = Stop::default();
        let calls = counted(&stop);
        assert!(!stop.end());
        stop.request();
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        assert_eq!(counted(&stop).load(Ordering::Relaxed), 0);
        assert!(!stop.is_requested());
    }
}
