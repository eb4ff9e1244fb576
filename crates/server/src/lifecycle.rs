//! The phase of the server, and its predictions in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Interval at which a drain checks for predictions in flight.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The phase of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Models are loaded and warmed up.
    Loading,
    /// At least one model answers. An overloaded server remains ready: its peers have the same load, and without it
    /// they would have more.
    Ready,
    /// The server is shutting down. It still answers, and asks clients to reconnect to another server.
    Draining,
}

/// The phase and the predictions in flight. Clones share both.
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
    /// All predictions so far. A short one may begin and end between two checks of those in flight.
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
    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether the models aren't all loaded yet.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.phase() == Phase::Loading
    }

    /// The phase and its changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Models answer. Has no effect while the server is shutting down.
    pub fn ready(&self) {
        self.phase.send_if_modified(|phase| {
            let loading = *phase == Phase::Loading;
            if loading {
                *phase = Phase::Ready;
            }
            loading
        });
    }

    /// The server is shutting down.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Ends streams that their clients keep open, once their requests are answered.
    pub fn end_streams(&self) {
        self.streams_end.send_replace(true);
    }

    /// Returns when streams are to end.
    pub async fn streams_end(&self) {
        let mut end = self.streams_end.subscribe();
        let _sender_gone = end.wait_for(|end| *end).await;
    }

    /// Counts a prediction as in flight until the result is dropped. Probes and scrapes aren't counted, because they
    /// continue during a drain.
    #[must_use]
    pub fn enter(&self) -> InFlight {
        self.requests.entered.fetch_add(1, Ordering::Relaxed);
        self.requests.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.requests))
    }

    /// Returns when no prediction has begun or been in flight for `quiet`, or at `deadline`.
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
            sleep(CHECK_INTERVAL).await;
        }
    }
}

/// A prediction in flight.
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
            "a model that is loaded too late has no effect"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_begins_when_the_last_prediction_ends() {
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
    async fn predictions_between_two_checks_interrupt_the_quiet() {
        let lifecycle = Lifecycle::default();
        let began = Instant::now();
        let clients = lifecycle.clone();
        tokio::spawn(async move {
            // Between two checks of the drain.
            sleep(CHECK_INTERVAL / 2).await;
            for _request in 0..10 {
                drop(clients.enter());
                sleep(5 * CHECK_INTERVAL).await;
            }
        });
        lifecycle
            .until_quiet(10 * CHECK_INTERVAL, began + Duration::from_secs(10))
            .await;
        let last = CHECK_INTERVAL / 2 + 9 * 5 * CHECK_INTERVAL;
        assert!(began.elapsed() >= last + 10 * CHECK_INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_quiet_ends_at_the_deadline() {
        let lifecycle = Lifecycle::default();
        let _request = lifecycle.enter();
        let began = Instant::now();
        lifecycle
            .until_quiet(Duration::ZERO, began + Duration::from_secs(2))
            .await;
        assert!(began.elapsed() < Duration::from_millis(2_100));
    }
}
