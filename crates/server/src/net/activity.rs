//! The shared state of a connection: its requests report to it, and the connection and its limit
//! read it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection_state::{ConnectionState, Turn, Verdict, Wait};
use super::shutdown::ShutdownPhase;

/// Bytes of a body or a response that count as progress. Fewer don't end a stall, or a client could
/// prolong it by a byte now and then.
pub(super) const PROGRESS_BYTES: usize = 16 * 1024;

/// The shared state of a connection.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<ConnectionState>,
    /// Wakes the connection for a change of its state that isn't an event of its own.
    changed: Notify,
}

impl Activity {
    /// `idle_timeout` is the maximum time between two requests.
    pub(super) fn new(idle_timeout: Duration) -> Self {
        Self {
            state: Mutex::new(ConnectionState::new(Instant::now(), idle_timeout)),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head of a request is complete. It is active until the result is dropped.
    pub(super) fn begin_request(self: &Arc<Self>, version: Version) -> ActiveRequest {
        let number = self.state().begin_request(version);
        if number == 0 && version == Version::HTTP_2 {
            self.changed.notify_one();
        }
        ActiveRequest {
            activity: Arc::clone(self),
            version,
            number,
            awaits_client: false,
        }
    }

    /// Time since the connection was opened.
    pub(super) fn age(&self) -> Duration {
        self.state().opened().elapsed()
    }

    /// Sets the age at which the client is asked to reconnect. None: never.
    pub(super) fn set_age(&self, age: Option<Duration>) {
        self.state().set_age(age);
    }

    /// [`ConnectionState::advance`] now.
    pub(super) fn advance(&self, phase: ShutdownPhase) -> Wait {
        self.state().advance(phase, Instant::now())
    }

    /// [`ConnectionState::verdict`] now.
    pub(super) fn verdict(&self, phase: ShutdownPhase) -> Verdict {
        self.state().verdict(phase, Instant::now())
    }

    /// Returns when [`Self::advance`] and [`Self::verdict`] may say something else.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Asks the client to reconnect.
    pub(super) fn retire(&self) {
        if self.state().retire() {
            self.changed.notify_one();
        }
    }

    /// Takes the slot of the connection away.
    pub(super) fn evict(&self) {
        self.state().evict();
        self.changed.notify_one();
    }

    /// Says whether the client takes nothing of the bytes that are written.
    pub(super) fn set_write_blocked(&self, is_blocked: bool) {
        self.state().set_write_blocked(is_blocked, Instant::now());
    }

    /// [`ConnectionState::is_evicted`].
    pub(super) fn is_evicted(&self) -> bool {
        self.state().is_evicted()
    }

    /// [`ConnectionState::is_droppable`].
    pub(super) fn is_droppable(&self) -> bool {
        self.state().is_droppable()
    }

    /// [`ConnectionState::evictable_since`].
    pub(super) fn evictable_since(&self, now: Instant) -> Option<Instant> {
        self.state().evictable_since(now)
    }

    /// [`ConnectionState::stalled_since`].
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.state().stalled_since()
    }

    #[cfg(test)]
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.state().idle_since()
    }

    #[cfg(test)]
    pub(super) fn untaken_since(&self) -> Option<Instant> {
        self.state().untaken_since()
    }
}

/// An active request.
#[derive(Debug)]
pub(super) struct ActiveRequest {
    activity: Arc<Activity>,
    version: Version,
    number: u64,
    awaits_client: bool,
}

impl ActiveRequest {
    /// Whether its response is to end the connection. HTTP/2 has a frame for that.
    pub(super) fn is_last(&self) -> bool {
        self.version < Version::HTTP_2 && self.activity.state().is_retired()
    }

    /// Reports the progress of its body.
    pub(super) fn body_progress(&self) -> BodyProgress {
        BodyProgress {
            activity: Arc::clone(&self.activity),
            number: self.number,
            bytes: 0,
            is_awaited: false,
        }
    }

    /// Lets its handler say whose turn it is.
    pub(super) fn idle_handle(&self) -> IdleHandle {
        IdleHandle {
            activity: Arc::clone(&self.activity),
            number: self.number,
        }
    }

    /// It was rejected for lack of memory.
    pub(super) fn set_uncounted(&self) {
        self.activity.state().set_uncounted(self.number);
        self.activity.changed.notify_one();
    }

    /// A part of the response waits for the client to take it. For the last part over HTTP/1 the
    /// write timeout is enough. Before it a client could take a byte now and then, and over HTTP/2
    /// other responses may make progress.
    pub(super) fn await_client(&mut self, is_last: bool) {
        if self.version == Version::HTTP_2 || !is_last {
            self.awaits_client = true;
            self.activity
                .state()
                .await_client(self.number, Instant::now());
        }
    }

    /// The client took it.
    pub(super) fn client_took(&mut self) {
        if self.awaits_client {
            self.awaits_client = false;
            self.activity.state().client_took(self.number);
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.activity
            .state()
            .end_request(self.number, Instant::now());
    }
}

/// Reports the progress of a request's body.
#[derive(Debug)]
pub(super) struct BodyProgress {
    activity: Arc<Activity>,
    number: u64,
    /// Bytes that were received since the wait began.
    bytes: usize,
    is_awaited: bool,
}

impl BodyProgress {
    /// More is asked for and nothing is there.
    pub(super) fn await_more(&mut self) {
        if !self.is_awaited {
            self.is_awaited = true;
            self.bytes = 0;
            self.activity
                .state()
                .await_body(self.number, Instant::now());
        }
    }

    /// Bytes were received.
    pub(super) fn receive(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= PROGRESS_BYTES {
            self.end_wait();
        }
    }

    /// No more is waited for.
    pub(super) fn end_wait(&mut self) {
        if self.is_awaited {
            self.is_awaited = false;
            self.activity.state().receive_body(self.number);
        }
    }
}

impl Drop for BodyProgress {
    fn drop(&mut self) {
        self.end_wait();
    }
}

/// Lets the handler of a request say whose turn it is. It is an extension of requests over HTTP/2.
#[derive(Debug, Clone)]
pub struct IdleHandle {
    activity: Arc<Activity>,
    number: u64,
}

impl IdleHandle {
    #[cfg(test)]
    pub(super) fn new(activity: &Arc<Activity>, number: u64) -> Self {
        let activity = Arc::clone(activity);
        Self { activity, number }
    }

    /// Until the result is dropped, the client keeps the request open and the server has nothing to
    /// do: the connection may be closed in favour of another one.
    #[must_use]
    pub fn idle(&self) -> TurnGuard {
        self.take_turn(Turn::Client)
    }

    /// Until the result is dropped it is the server's turn, though the request waits for more of its
    /// body.
    #[must_use]
    pub fn busy(&self) -> TurnGuard {
        self.take_turn(Turn::Server)
    }

    fn take_turn(&self, turn: Turn) -> TurnGuard {
        let now = Instant::now();
        self.activity.state().set_turn(self.number, turn, now);
        TurnGuard(self.clone())
    }
}

/// A turn of a request, of [`IdleHandle`].
#[derive(Debug)]
pub struct TurnGuard(IdleHandle);

impl Drop for TurnGuard {
    fn drop(&mut self) {
        let IdleHandle { activity, number } = &self.0;
        let now = Instant::now();
        activity.state().set_turn(*number, Turn::Unspecified, now);
    }
}
