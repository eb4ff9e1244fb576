//! Due times, so that an attack of several kinds keeps its mix until its end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Items that are spread evenly over a time. None begins after the deadline.
pub(crate) struct Pace {
    taken: AtomicU64,
    total: u64,
    start: Instant,
    spread: Duration,
    deadline: Instant,
}

impl Pace {
    /// Spreads `total` items over `spread`. Late items are due until the deadline.
    pub(crate) const fn new(
        total: u64,
        start: Instant,
        spread: Duration,
        deadline: Instant,
    ) -> Self {
        Self {
            taken: AtomicU64::new(0),
            total,
            start,
            spread,
            deadline,
        }
    }

    /// Whether no item is left, or no time.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline || self.taken.load(Ordering::Relaxed) >= self.total
    }

    /// The due time of the next item. `None` if no item is left, or no time.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        if now >= self.deadline {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let due = self.start + due_after(number, self.total, self.spread)?;
        (due < self.deadline).then_some(due)
    }
}

/// Time from the start until item `number` of `total` is due.
fn due_after(number: u64, total: u64, spread: Duration) -> Option<Duration> {
    if number >= total {
        return None;
    }
    let nanoseconds = spread.as_nanos() * u128::from(number) / u128::from(total);
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_spread_evenly_and_end() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let pace = Pace::new(4, start, second, start + 2 * second);
        let due: Vec<_> = std::iter::from_fn(|| pace.next(start))
            .map(|due| (due - start).as_millis())
            .collect();
        assert_eq!(due, [0, 250, 500, 750]);
        assert!(pace.is_over(start));
        assert_eq!(pace.next(start), None);
    }

    #[test]
    fn nothing_begins_after_the_deadline() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let pace = Pace::new(4, start, 4 * second, start + 2 * second);
        assert!(!pace.is_over(start));
        assert!(pace.is_over(start + 2 * second));
        assert_eq!(pace.next(start + 2 * second), None);
        let due: Vec<_> = std::iter::from_fn(|| pace.next(start)).collect();
        assert_eq!(
            due,
            [start, start + second],
            "the third is due at the deadline"
        );
    }
}
