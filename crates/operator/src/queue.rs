//! The queue of ModelServices to reconcile, and their order.
//!
//! kube's scheduler takes due items in any order when all reconciles are busy. With a thousand new ModelServices,
//! those that already have children could then precede others that have none.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use crate::{active_reconciles::ActiveReconciles, object_cache::Change};

/// Debounce period after a change of a spec: changes within it cause one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Debounce period after a change of a status: a Deployment, its pods and its HPA change often.
const STATUS_DEBOUNCE: Duration = Duration::from_millis(500);

/// Maximum time for which changes of specs precede a due change of a status.
const STATUS_MAX_DELAY: Duration = Duration::from_secs(30);

/// Due time of an item, and its sequence number.
type Position = (Instant, u64);

/// Queued items, each once.
struct PendingItems<T> {
    positions: HashMap<T, (Change, Position)>,
    specs: BTreeMap<Position, T>,
    statuses: BTreeMap<Position, T>,
    count: u64,
}

impl<T: Clone + Eq + Hash> PendingItems<T> {
    fn new() -> Self {
        Self {
            positions: HashMap::new(),
            specs: BTreeMap::new(),
            statuses: BTreeMap::new(),
            count: 0,
        }
    }

    /// Further changes of a queued item don't postpone it.
    fn push(&mut self, item: T, change: Change, now: Instant) {
        match self.positions.get(&item) {
            Some((Change::Status, position)) if change == Change::Spec => {
                self.statuses.remove(position);
            }
            Some(_) => return,
            None => {}
        }
        let (queue, wait) = match change {
            Change::Spec => (&mut self.specs, DEBOUNCE),
            Change::Status => (&mut self.statuses, STATUS_DEBOUNCE),
        };
        self.count += 1;
        let position = (now + wait, self.count);
        queue.insert(position, item.clone());
        self.positions.insert(item, (change, position));
    }

    /// The next due item.
    fn pop(&mut self, now: Instant) -> Option<T> {
        let first = |queue: &BTreeMap<Position, T>| {
            let (position, _) = queue.first_key_value()?;
            (position.0 <= now).then_some(*position)
        };
        let is_status = match (first(&self.specs), first(&self.statuses)) {
            (Some(spec), Some(status)) => status.0 + STATUS_MAX_DELAY <= spec.0,
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (None, None) => return None,
        };
        let queue = if is_status {
            &mut self.statuses
        } else {
            &mut self.specs
        };
        let (_, item) = queue.pop_first()?;
        self.positions.remove(&item);
        Some(item)
    }

    /// The due time of the next item.
    fn due(&self) -> Option<Instant> {
        let first = |queue: &BTreeMap<Position, T>| Some(queue.first_key_value()?.0.0);
        first(&self.specs)
            .into_iter()
            .chain(first(&self.statuses))
            .min()
    }
}

/// The items in the order of their reconciles, each when fewer than `concurrency` are active: first those with a
/// changed spec, otherwise the longest queued.
pub(crate) fn prioritized<T>(
    changes: impl Stream<Item = (T, Change)> + Send,
    active: ActiveReconciles<T>,
    concurrency: usize,
) -> impl Stream<Item = T> + Send
where
    T: Clone + Eq + Hash + Send + Sync,
{
    let state = (Box::pin(changes.fuse()), PendingItems::new(), active);
    let max_others = concurrency.saturating_sub(1);
    stream::unfold(
        state,
        move |(mut changes, mut pending, active)| async move {
            loop {
                let due = pending.due();
                let next = async {
                    match due {
                        None => std::future::pending().await,
                        Some(due) => sleep_until(due).await,
                    }
                    active.at_most(max_others).await;
                };
                select! {
                    biased;
                    Some((item, change)) = changes.next() => pending.push(item, change, Instant::now()),
                    () = next => {
                        if let Some(item) = pending.pop(Instant::now()) {
                            active.begin(item.clone());
                            return Some((item, (changes, pending, active)));
                        }
                    }
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn changes_within_the_debounce_period_are_one_and_do_not_extend_it() {
        let start = Instant::now();
        let mut pending = PendingItems::new();
        for milliseconds in [0, 20, 40] {
            pending.push("a", Change::Spec, after(start, milliseconds));
        }
        assert_eq!(pending.pop(after(start, 49)), None);
        assert_eq!(pending.due(), Some(after(start, 50)));
        assert_eq!(pending.pop(after(start, 50)), Some("a"));
        assert_eq!(pending.due(), None);
    }

    #[test]
    fn changed_specs_precede_statuses_and_then_the_longest_queued_is_first() {
        let start = Instant::now();
        let mut pending = PendingItems::new();
        for (item, change) in [
            ("status", Change::Status),
            ("both", Change::Status),
            ("second", Change::Spec),
            ("both", Change::Spec),
            ("both", Change::Status),
        ] {
            pending.push(item, change, start);
        }
        pending.push("third", Change::Spec, after(start, 1));
        let due = after(start, 600);
        let order: Vec<_> = std::iter::from_fn(|| pending.pop(due)).collect();
        assert_eq!(order, ["second", "both", "third", "status"]);
        assert!(pending.positions.is_empty());
    }

    #[test]
    fn the_delay_of_a_status_is_bounded() {
        let start = Instant::now();
        let mut pending = PendingItems::new();
        pending.push("status", Change::Status, start);
        pending.push("early", Change::Spec, start + STATUS_MAX_DELAY);
        pending.push("late", Change::Spec, start + 2 * STATUS_MAX_DELAY);
        let due = start + 3 * STATUS_MAX_DELAY;
        let order: Vec<_> = std::iter::from_fn(|| pending.pop(due)).collect();
        assert_eq!(order, ["early", "status", "late"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_active_reconciles_is_limited() {
        let changes = ["a", "b", "c"].map(|item| (item, Change::Spec));
        let active = ActiveReconciles::default();
        let changes = stream::iter(changes).chain(stream::pending());
        let mut items = Box::pin(prioritized(changes, active.clone(), 2));
        assert_eq!(
            items.next().now_or_never(),
            None,
            "before its debounce period ends"
        );
        assert_eq!(items.next().await, Some("a"));
        assert_eq!(items.next().await, Some("b"));
        assert_eq!(items.next().now_or_never(), None);
        active.end(&"b");
        assert_eq!(items.next().now_or_never(), Some(Some("c")));
        active.end(&"unknown");
        assert_eq!(items.next().now_or_never(), None);
    }
}
