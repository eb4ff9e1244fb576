//! The metrics of one request, from its arrival to its end.

use std::sync::Arc;
use std::time::Instant;

use super::outcome::{Dropped, Rejected, Status};
use super::series::Series;

/// A request that is being counted. Dropped without an end, it counts as cancelled: its client has
/// disconnected.
#[derive(Debug)]
pub struct Call {
    series: Arc<Series>,
    arrived: Instant,
    accepted: bool,
    status: Option<Status>,
}

impl Call {
    /// Counts a request that arrives now.
    #[must_use]
    pub fn arrival(series: Arc<Series>) -> Self {
        series.metrics.received.inc();
        series.load.arrived();
        Self {
            series,
            arrived: Instant::now(),
            accepted: false,
            status: None,
        }
    }

    /// When the request arrived.
    #[must_use]
    pub const fn arrived(&self) -> Instant {
        self.arrived
    }

    /// The request is valid and is queued.
    pub fn accept(&mut self) {
        self.accepted = true;
        self.series.metrics.active.inc();
    }

    /// The request has a response.
    pub fn end(mut self, status: Status) {
        self.status = Some(status);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let status = self.status.unwrap_or(Status::Cancelled);
        if let Status::Rejected(reason) = status {
            self.series.dropped(Dropped::Rejected(reason));
            if reason == Rejected::NoRoomForBody && !self.accepted {
                self.series.arrived_unread();
            }
        }
        if self.accepted {
            self.series.metrics.active.dec();
            // Rejections are quick: with them an overloaded server would look fast.
            if matches!(status, Status::Success | Status::Timeout | Status::Error) {
                let took = self.arrived.elapsed();
                self.series.metrics.latency.observe(took.as_secs_f64());
            }
        }
        // Last: a scrape that counts the request also has its other metrics.
        self.series.metrics.completed[status.index()].inc();
    }
}
