//! A handle that ends a run early.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A run in progress that can be interrupted.
pub trait Interrupt: Send + Sync {
    /// Requests the end of the run and returns at once. The run ends as soon as it can.
    fn interrupt(&self);
}

/// Ends one run early, from any thread. Clones share it. Each run needs its own handle. A handle costs one allocation,
/// and nothing more unless the run is cancelled.
#[derive(Clone, Default)]
pub struct CancelHandle {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    requested: bool,
    running: Option<Arc<dyn Interrupt>>,
}

impl CancelHandle {
    /// A handle without a cancellation.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels the run, now or as soon as it begins.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.requested = true;
        if let Some(running) = &state.running {
            running.interrupt();
        }
    }

    /// Whether the run was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state().requested
    }

    /// Called by backends. `running` is interrupted by a cancellation while the guard exists, and never after. `None`
    /// if the run was cancelled before: it must not begin.
    #[must_use]
    pub fn guard(&self, running: Arc<dyn Interrupt>) -> Option<Running<'_>> {
        let mut state = self.state();
        if state.requested {
            return None;
        }
        state.running = Some(running);
        Some(Running { stop: self })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent between the statements of each method.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        formatter
            .debug_struct("CancelHandle")
            .field("requested", &state.requested)
            .field("running", &state.running.is_some())
            .finish()
    }
}

/// A guard during which a run can be interrupted.
#[derive(Debug)]
pub struct Running<'a> {
    stop: &'a CancelHandle,
}

impl Running<'_> {
    /// Ends the guard, and returns whether the run was cancelled.
    #[must_use]
    pub fn finish(self) -> bool {
        let mut state = self.stop.state();
        state.running = None;
        state.requested
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.stop.state().running = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Interrupt for Counter {
        fn interrupt(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_run_is_interrupted_while_it_lasts_and_never_after() {
        let counter = Arc::new(Counter::default());
        let count = || counter.0.load(Ordering::Relaxed);
        let (first, second) = (CancelHandle::new(), CancelHandle::new());
        let running = first.guard(Arc::<Counter>::clone(&counter)).unwrap();
        first.clone().cancel();
        assert_eq!(count(), 1);
        assert!(running.finish());
        let running = second.guard(Arc::<Counter>::clone(&counter)).unwrap();
        assert!(!running.finish());
        second.cancel();
        first.cancel();
        assert_eq!(count(), 1, "neither is running");
    }

    #[test]
    fn what_was_stopped_before_does_not_begin() {
        let counter = Arc::new(Counter::default());
        let stop = CancelHandle::new();
        stop.cancel();
        assert!(stop.is_cancelled());
        assert!(stop.guard(counter).is_none());
    }
}
