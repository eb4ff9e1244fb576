//! Calls on their way to the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::metrics::{Call, Series, Status};

/// A call since its head has come. Which model it means is in its message, so the service counts it;
/// one that doesn't get so far counts for none.
#[derive(Debug)]
pub(super) struct PendingCall {
    at: Instant,
    /// None where the call isn't for inference.
    series: Option<Arc<Series>>,
    is_counted: AtomicBool,
}

impl PendingCall {
    /// A call arrives now. It is counted here where it is for inference.
    pub(super) fn new(series: Option<Arc<Series>>) -> Self {
        Self {
            at: Instant::now(),
            series,
            is_counted: AtomicBool::new(false),
        }
    }

    /// Time since then.
    pub(super) fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// The service has the message, and counts the call.
    pub(super) fn hand_over(&self) {
        self.is_counted.store(true, Ordering::Relaxed);
    }

    /// The call ends like this, unless it was counted before.
    pub(super) fn count(&self, status: Status) {
        if !self.is_counted.swap(true, Ordering::Relaxed)
            && let Some(series) = &self.series
        {
            Call::arrival(Arc::clone(series)).end(status);
        }
    }
}

/// Its client went away while the message was on its way.
impl Drop for PendingCall {
    fn drop(&mut self) {
        self.count(Status::Cancelled);
    }
}
