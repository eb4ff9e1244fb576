//! A handle that ends a run early.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something that runs and can be told to end.
pub trait Interrupt: Send + Sync {
    /// Returns at once; what runs ends as soon as it can.
    fn interrupt(&self);
}

/// Ends one run early, from any thread. Clones are the same handle. Make one for each run: it costs
/// one allocation, and nothing while nobody asks.
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
    /// A handle that nobody has asked to stop.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the run, now or as soon as it begins.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.requested = true;
        if let Some(running) = &state.running {
            running.interrupt();
        }
    }

    /// Whether somebody has asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state().requested
    }

    /// For backends: `running` is interrupted when somebody asks while the guard lives, and never
    /// after. None when somebody asked before: don't begin.
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
        // Nothing in there can be half written.
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

/// While it lives, a run can be interrupted.
#[derive(Debug)]
pub struct Running<'a> {
    stop: &'a CancelHandle,
}

impl Running<'_> {
    /// Ends the guard and tells whether the run was interrupted.
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
