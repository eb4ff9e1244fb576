//! Where the server stands between its start and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How often a drain looks whether requests are still in flight.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Where the server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The model is being loaded and warmed up.
    Loading,
    /// The model answers. Whatever the load: an overloaded server is still ready, since its peers
    /// are as loaded as it is and taking it out would only load them more.
    Ready,
    /// The server was told to end. It still answers, and asks clients to reconnect elsewhere.
    Draining,
}

/// The phase, and the requests in flight. Clones share both.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    phase: Arc<watch::Sender<Phase>>,
    in_flight: Arc<AtomicUsize>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Loading)),
            in_flight: Arc::default(),
        }
    }
}

impl Lifecycle {
    /// Where the server stands now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The model answers, unless the server was told to end meanwhile.
    pub fn ready(&self) {
        self.phase.send_if_modified(|phase| {
            let loading = *phase == Phase::Loading;
            if loading {
                *phase = Phase::Ready;
            }
            loading
        });
    }

    /// The server was told to end.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Counts a request until the result is dropped.
    #[must_use]
    pub fn enter(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.in_flight))
    }

    /// Returns when no request was in flight for `quiet`, or at `deadline`.
    pub async fn until_quiet(&self, quiet: Duration, deadline: Instant) {
        let mut quiet_since = Instant::now();
        loop {
            let now = Instant::now();
            if self.in_flight.load(Ordering::Relaxed) > 0 {
                quiet_since = now;
            }
            if now >= deadline || now - quiet_since >= quiet {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_then_ready_then_draining() {
        let lifecycle = Lifecycle::default();
        assert_eq!(lifecycle.phase(), Phase::Loading);
        lifecycle.ready();
        assert_eq!(lifecycle.phase(), Phase::Ready);
        lifecycle.drain();
        assert_eq!(lifecycle.phase(), Phase::Draining);
        lifecycle.ready();
        assert_eq!(
            lifecycle.phase(),
            Phase::Draining,
            "a model that loads too late changes nothing"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_begins_when_the_last_request_is_over() {
        let lifecycle = Lifecycle::default();
        let request = lifecycle.enter();
        tokio::spawn(async move {
            sleep(Duration::from_secs(1)).await;
            drop(request);
        });
        let began = Instant::now();
        let deadline = began + Duration::from_secs(10);
        lifecycle
            .until_quiet(Duration::from_millis(200), deadline)
            .await;
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(1_180) && took < Duration::from_millis(1_300),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_is_not_waited_for_beyond_the_deadline() {
        let lifecycle = Lifecycle::default();
        let _request = lifecycle.enter();
        let began = Instant::now();
        lifecycle
            .until_quiet(Duration::ZERO, began + Duration::from_secs(2))
            .await;
        assert!(began.elapsed() < Duration::from_millis(2_100));
    }
}
