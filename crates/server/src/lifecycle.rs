//! Where the server stands between its start and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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

/// The phase, and the predictions in flight. Clones share both.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    phase: Arc<watch::Sender<Phase>>,
    /// Whether streams are to end.
    streams_end: Arc<watch::Sender<bool>>,
    requests: Arc<Requests>,
}

/// Counts of predictions.
#[derive(Debug, Default)]
struct Requests {
    /// Ever begun: between two looks a fast one comes and goes without being seen in flight.
    entered: AtomicU64,
    in_flight: AtomicUsize,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Loading)),
            streams_end: Arc::default(),
            requests: Arc::default(),
        }
    }
}

impl Lifecycle {
    /// Where the server stands now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The phase, as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
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

    /// What goes on until its client ends it is to end now, wherever nothing is being answered.
    pub fn end_streams(&self) {
        self.streams_end.send_replace(true);
    }

    /// Returns when it is to end.
    pub async fn streams_end(&self) {
        let mut end = self.streams_end.subscribe();
        let _sender_gone = end.wait_for(|end| *end).await;
    }

    /// Counts a prediction as in flight until the result is dropped. Probes and scrapes never stop
    /// while the server drains, so they are not to be counted.
    #[must_use]
    pub fn enter(&self) -> InFlight {
        self.requests.entered.fetch_add(1, Ordering::Relaxed);
        self.requests.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.requests))
    }

    /// Returns when no prediction came or was in flight for `quiet`, or at `deadline`.
    pub async fn until_quiet(&self, quiet: Duration, deadline: Instant) {
        let mut quiet_since = Instant::now();
        let mut seen = self.requests.entered.load(Ordering::Relaxed);
        loop {
            let now = Instant::now();
            let entered = self.requests.entered.load(Ordering::Relaxed);
            if entered != seen || self.requests.in_flight.load(Ordering::Relaxed) > 0 {
                seen = entered;
                quiet_since = now;
            }
            if now >= deadline || now - quiet_since >= quiet {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// A prediction that is being answered.
#[derive(Debug)]
pub struct InFlight(Arc<Requests>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
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
    async fn requests_that_come_and_go_between_two_looks_are_no_quiet() {
        let lifecycle = Lifecycle::default();
        let began = Instant::now();
        let clients = lifecycle.clone();
        tokio::spawn(async move {
            // Never at an instant at which the drain looks.
            sleep(LOOK_AGAIN / 2).await;
            for _request in 0..10 {
                drop(clients.enter());
                sleep(5 * LOOK_AGAIN).await;
            }
        });
        lifecycle
            .until_quiet(10 * LOOK_AGAIN, began + Duration::from_secs(10))
            .await;
        let last = LOOK_AGAIN / 2 + 9 * 5 * LOOK_AGAIN;
        assert!(began.elapsed() >= last + 10 * LOOK_AGAIN);
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
