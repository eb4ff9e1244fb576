//! The requests of the next batch.

use std::hash::Hash;
use std::time::{Duration, Instant};

use super::entry::{Entry, Ticket};
use super::queue::LaneId;
use super::state::Scheduler;
use crate::latency_model::LatencyEstimate;

/// Maximum time that is reserved for the delivery of a response.
pub(super) const MAX_DELIVERY: Duration = Duration::from_millis(10);

/// The next batch of a lane.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) tickets: Vec<Ticket>,
    /// Maximum rows of the batch.
    pub(super) full: usize,
    /// Requests that can't be answered in time.
    pub(super) too_late: Vec<Ticket>,
}

impl<K: Clone + Eq + Hash, T, S> Scheduler<K, T, S> {
    /// The next batch of a lane: as many requests as fit, oldest first.
    pub(super) fn plan(&self, lane: LaneId, now: Instant) -> Plan {
        let estimate = self.latency_model.confirmed_estimate();
        if self.is_alone() {
            return self.plan_alone(lane, now, estimate);
        }
        let takes = |rows| estimate.map_or(Duration::ZERO, |estimate| estimate.upper_bound(rows));
        let next = self.queue.lane(lane).take(self.config.max_rows.get());
        let longest = next.map(Entry::lifetime).max().unwrap_or_default();
        let longest = self.objective().map_or(longest, |it| it.min(longest));
        let mut plan = Plan {
            full: self.full(estimate, longest),
            ..Plan::default()
        };
        let (mut rows, mut lane_rows) = (0, self.queue.lane_rows(lane));
        let mut least_time = Duration::MAX;
        for entry in self.queue.lane(lane) {
            let time = time_for_run(entry, now, takes(entry.rows()));
            let backlog = if lane_rows > plan.full { plan.full } else { 0 };
            if takes(entry.rows().max(backlog)) > time {
                plan.too_late.push(entry.ticket);
                lane_rows -= entry.rows();
                continue;
            }
            least_time = least_time.min(time);
            rows += entry.rows();
            let too_many = rows > plan.full || takes(rows) > least_time;
            if too_many && !plan.tickets.is_empty() {
                break;
            }
            plan.tickets.push(entry.ticket);
            if rows >= plan.full {
                break;
            }
        }
        plan
    }

    /// The oldest request of a lane that can be answered in time.
    fn plan_alone(&self, lane: LaneId, now: Instant, estimate: Option<LatencyEstimate>) -> Plan {
        let mut plan = Plan::default();
        for entry in self.queue.lane(lane) {
            plan.full = entry.rows();
            let takes = estimate.map_or(Duration::ZERO, |estimate| {
                estimate.upper_bound(entry.rows())
            });
            if takes <= time_for_run(entry, now, takes) {
                plan.tickets.push(entry.ticket);
                break;
            }
            plan.too_late.push(entry.ticket);
        }
        plan
    }

    /// Rows of a full batch of requests with this initial time: half of it is for the preceding batch.
    pub(super) fn full(&self, estimate: Option<LatencyEstimate>, lifetime: Duration) -> usize {
        let max_rows = self.config.max_rows.get();
        let rows = estimate.map(|estimate| estimate.rows_within(lifetime / 2, max_rows));
        rows.map_or(max_rows, |rows| rows.max(1))
    }
}

/// Time available for a request whose own run takes this long. A request that never had that much time is exempt.
/// held to it.
fn time_for_run<K, T>(entry: &Entry<K, T>, now: Instant, takes: Duration) -> Duration {
    let lifetime = entry.lifetime();
    if takes > lifetime {
        return Duration::MAX;
    }
    let left = entry.deadline.saturating_duration_since(now);
    left.saturating_sub(delivery(lifetime))
}

/// Estimated time from a batch to the client: threads wake up, and the response is written and sent. At most a
/// twentieth of a request's time is reserved.
pub(super) fn delivery(lifetime: Duration) -> Duration {
    MAX_DELIVERY.min(lifetime / 20)
}
