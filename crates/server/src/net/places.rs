//! The places for connections, and who makes room when all are taken.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::activity::Activity;

/// How long an evicted connection may take to leave before the next one is evicted, and how often
/// is looked for an idle one while there is none.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
    max_idle: Duration,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

impl Places {
    /// `max_idle` is the longest time that a connection may be idle between two requests.
    pub(super) fn new(count: NonZeroUsize, max_idle: Duration) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count.get().min(Semaphore::MAX_PERMITS))),
            taken: Mutex::default(),
            max_idle,
        }
    }

    /// Takes a place for a new connection; where there is none, the connection that has been idle
    /// the longest is evicted.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            self.evict_longest_idle();
            let freed = Arc::clone(&self.free).acquire_owned();
            if let Ok(Ok(permit)) = timeout(LOOK_AGAIN, freed).await {
                break permit;
            }
        };
        let activity = Arc::new(Activity::new(self.max_idle));
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.connections.insert(number, Arc::clone(&activity));
        drop(taken);
        Place {
            places: Arc::clone(self),
            number,
            activity,
            _permit: permit,
        }
    }

    fn evict_longest_idle(&self) {
        let now = Instant::now();
        let taken = self.taken();
        let longest_idle = taken
            .connections
            .values()
            .filter_map(|activity| Some((activity.evictable_since(now)?, activity)))
            .min_by_key(|(since, _activity)| *since);
        if let Some((since, activity)) = longest_idle {
            tracing::debug!(idle = ?(now - since), "an idle connection makes room for a new one");
            activity.evict();
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// What the connection is doing.
    pub(super) const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Version;
    use tokio::time::advance;

    use super::*;

    fn places(count: usize) -> Arc<Places> {
        Arc::new(Places::new(
            NonZeroUsize::new(count).unwrap(),
            Duration::from_secs(75),
        ))
    }

    /// Has had a request, and is idle from now on.
    async fn used(places: &Arc<Places>) -> Place {
        let place = places.take().await;
        drop(place.activity().request(Version::HTTP_11));
        place
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_was_idle_the_longest_makes_room() {
        let places = places(3);
        let first = used(&places).await;
        advance(Duration::from_secs(1)).await;
        let second = used(&places).await;
        advance(Duration::from_secs(1)).await;
        let _third = used(&places).await;
        advance(Duration::from_secs(1)).await;
        drop(first.activity().request(Version::HTTP_11));
        let newcomer = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take().await }
        });
        tokio::task::yield_now().await;
        assert!(second.activity().is_evicted() && !first.activity().is_evicted());
        drop(second);
        let _newcomer = newcomer.await.unwrap();
        assert_eq!(places.taken().connections.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_is_answered_is_evicted_and_the_newcomer_waits() {
        let places = places(1);
        let busy = places.take().await;
        let request = busy.activity().request(Version::HTTP_11);
        let newcomer = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take().await }
        });
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!busy.activity().is_evicted());
        drop(request);
        tokio::time::sleep(2 * LOOK_AGAIN).await;
        assert!(busy.activity().is_evicted(), "idle at last");
        drop(busy);
        let _newcomer = newcomer.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_a_second_for_its_first_request() {
        let places = places(1);
        let fresh = places.take().await;
        assert!(
            timeout(Duration::from_millis(900), places.take())
                .await
                .is_err()
        );
        assert!(!fresh.activity().is_evicted());
        assert!(
            timeout(Duration::from_millis(200), places.take())
                .await
                .is_err()
        );
        assert!(fresh.activity().is_evicted());
    }
}
