//! Calls that haven't reached the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::metrics::{Call, Series, Status};

/// A call whose head was received. Its message names the model, so the service counts the call. A call that
/// doesn't reach the service is counted without a model.
#[derive(Debug)]
pub(super) struct PendingCall {
    received: Instant,
    /// None if the call isn't for inference.
    series: Option<Arc<Series>>,
    is_counted: AtomicBool,
}

impl PendingCall {
    /// The head of a call was received now. `series` is None if the call isn't for inference.
    pub(super) fn new(series: Option<Arc<Series>>) -> Self {
        Self {
            received: Instant::now(),
            series,
            is_counted: AtomicBool::new(false),
        }
    }

    /// Time since the head was received.
    pub(super) fn elapsed(&self) -> Duration {
        self.received.elapsed()
    }

    /// The service has the message and counts the call from now on.
    pub(super) fn hand_over(&self) {
        self.is_counted.store(true, Ordering::Relaxed);
    }

    /// Counts the call with a status, unless it was counted or handed over before.
    pub(super) fn count(&self, status: Status) {
        if !self.is_counted.swap(true, Ordering::Relaxed)
            && let Some(series) = &self.series
        {
            Call::arrival(Arc::clone(series)).end(status);
        }
    }
}

/// The client disconnected before its message was complete.
impl Drop for PendingCall {
    fn drop(&mut self) {
        self.count(Status::Cancelled);
    }
}
