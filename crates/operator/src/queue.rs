//! The queue of ModelServices to reconcile, and their order.
//!
//! kube's scheduler takes due items in any order when all reconciles are busy. With a thousand new ModelServices,
//! those that already have children could then precede others that have none.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::object_cache::Change;

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

/// Items whose reconcile is active or about to begin. Clones share them.
#[derive(Clone)]
pub(crate) struct ActiveReconciles<T> {
    items: watch::Sender<HashSet<T>>,
    most: usize,
}

impl<T: Clone + Eq + Hash> ActiveReconciles<T> {
    /// No active reconcile, and a maximum of `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            items: watch::Sender::new(HashSet::new()),
            most,
        }
    }

    fn begin(&self, item: T) {
        self.items.send_modify(|items| {
            items.insert(item);
        });
    }

    /// The reconcile of an item is over.
    pub(crate) fn end(&self, item: &T) {
        self.items.send_if_modified(|items| items.remove(item));
    }

    /// Waits for a free slot.
    async fn free(&self) {
        // The sender is `self`.
        let _ = self
            .items
            .subscribe()
            .wait_for(|items| items.len() < self.most)
            .await;
    }
}

/// The items in the order of their reconciles, each when a slot is free: first those with a changed spec, otherwise
/// the longest queued.
pub(crate) fn prioritized<T>(
    changes: impl Stream<Item = (T, Change)> + Send,
    passes: ActiveReconciles<T>,
) -> impl Stream<Item = T> + Send
where
    T: Clone + Eq + Hash + Send + Sync,
{
    let state = (Box::pin(changes.fuse()), PendingItems::new(), passes);
    stream::unfold(state, |(mut changes, mut waiting, passes)| async move {
        loop {
            let due = waiting.due();
            let next = async {
                match due {
                    None => std::future::pending().await,
                    Some(due) => sleep_until(due).await,
                }
                passes.free().await;
            };
            select! {
                biased;
                Some((item, change)) = changes.next() => waiting.push(item, change, Instant::now()),
                () = next => {
                    if let Some(item) = waiting.pop(Instant::now()) {
                        passes.begin(item.clone());
                        return Some((item, (changes, waiting, passes)));
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_comes_together_is_one_and_is_not_put_off() {
        let start = Instant::now();
        let mut waiting = PendingItems::new();
        for milliseconds in [0, 20, 40] {
            waiting.push("a", Change::Spec, after(start, milliseconds));
        }
        assert_eq!(waiting.pop(after(start, 49)), None);
        assert_eq!(waiting.due(), Some(after(start, 50)));
        assert_eq!(waiting.pop(after(start, 50)), Some("a"));
        assert_eq!(waiting.due(), None);
    }

    #[test]
    fn a_changed_spec_goes_before_a_status_and_the_one_that_waited_longest_first() {
        let start = Instant::now();
        let mut waiting = PendingItems::new();
        for (item, change) in [
            ("status", Change::Status),
            ("both", Change::Status),
            ("second", Change::Spec),
            ("both", Change::Spec),
            ("both", Change::Status),
        ] {
            waiting.push(item, change, start);
        }
        waiting.push("third", Change::Spec, after(start, 1));
        let due = after(start, 600);
        let order: Vec<_> = std::iter::from_fn(|| waiting.pop(due)).collect();
        assert_eq!(order, ["second", "both", "third", "status"]);
        assert!(waiting.positions.is_empty());
    }

    #[test]
    fn a_status_does_not_wait_for_ever() {
        let start = Instant::now();
        let mut waiting = PendingItems::new();
        waiting.push("status", Change::Status, start);
        waiting.push("early", Change::Spec, start + STATUS_MAX_DELAY);
        waiting.push("late", Change::Spec, start + 2 * STATUS_MAX_DELAY);
        let due = start + 3 * STATUS_MAX_DELAY;
        let order: Vec<_> = std::iter::from_fn(|| waiting.pop(due)).collect();
        assert_eq!(order, ["early", "status", "late"]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_come_than_passes_may_go_on() {
        let changes = ["a", "b", "c"].map(|item| (item, Change::Spec));
        let passes = ActiveReconciles::new(2);
        let changes = stream::iter(changes).chain(stream::pending());
        let mut items = Box::pin(prioritized(changes, passes.clone()));
        assert_eq!(items.next().now_or_never(), None, "not before its time");
        assert_eq!(items.next().await, Some("a"));
        assert_eq!(items.next().await, Some("b"));
        assert_eq!(items.next().now_or_never(), None);
        passes.end(&"b");
        assert_eq!(items.next().now_or_never(), Some(Some("c")));
        passes.end(&"unknown");
        assert_eq!(items.next().now_or_never(), None);
    }
}
