//! What a connection is doing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Longest time from a connection's beginning to its first request's complete head.
const FIRST_HEAD: Duration = Duration::from_secs(10);

/// Bytes that count as progress, of a body or of what is taken of answers: not a byte now and then.
pub(super) const PROGRESS_BYTES: usize = 16 * 1024;

/// For how long a new connection counts as one whose request is on its way.
const FRESH: Duration = Duration::from_secs(1);

/// What a connection is doing: written by its requests, read by whoever wants to end it.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    /// Longest time between an answer and the next request's complete head.
    max_idle: Duration,
    /// Requests that ever came.
    requests: AtomicU64,
    /// Requests whose answer isn't on its way to the last byte.
    in_flight: AtomicUsize,
    /// Those of them for which nothing is being done.
    waiting: AtomicUsize,
    /// Those of them that wait for more of their bodies while something is being done for them.
    working: AtomicUsize,
    /// Those of them for which there was no memory.
    unpaid: AtomicUsize,
    /// Which of their answers wait for the client, and since when.
    untaken: Mutex<HashMap<u64, Instant>>,
    /// Which requests wait for more of their bodies, and since when.
    unsent: Mutex<HashMap<u64, Instant>>,
    /// Since when the client takes nothing of what is written, in microseconds since the connection was
    /// opened; 0 where it does.
    blocked_since: AtomicU64,
    /// When the last request was over, in microseconds since the connection was opened.
    last_over: AtomicU64,
    is_http2: AtomicBool,
    /// The client is to reconnect.
    retired: AtomicBool,
    /// Its place is needed.
    evicted: AtomicBool,
    /// The connection should look at the rest of this.
    changed: Notify,
}

impl Activity {
    pub(super) fn new(max_idle: Duration) -> Self {
        Self {
            opened: Instant::now(),
            max_idle,
            requests: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            working: AtomicUsize::new(0),
            unpaid: AtomicUsize::new(0),
            untaken: Mutex::default(),
            unsent: Mutex::default(),
            blocked_since: AtomicU64::new(0),
            last_over: AtomicU64::new(0),
            is_http2: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// When the connection began.
    pub(super) const fn opened(&self) -> Instant {
        self.opened
    }

    /// Longest time between two requests.
    pub(super) const fn max_idle(&self) -> Duration {
        self.max_idle
    }

    /// A request's head is complete. In flight until the result is dropped.
    pub(super) fn request(self: &Arc<Self>, version: Version) -> ActiveRequest {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if number == 0 && version == Version::HTTP_2 {
            self.is_http2.store(true, Ordering::Relaxed);
            self.changed.notify_one();
        }
        ActiveRequest {
            activity: Arc::clone(self),
            version,
            number,
            is_offered: false,
            is_unpaid: false,
        }
    }

    /// Requests in flight for which there was no memory.
    pub(super) fn unpaid(&self) -> usize {
        self.unpaid.load(Ordering::Relaxed)
    }

    /// Since when there is no request; none while there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.in_flight.load(Ordering::Acquire) == 0;
        idle.then(|| self.last_over())
    }

    fn last_over(&self) -> Instant {
        self.opened + Duration::from_micros(self.last_over.load(Ordering::Relaxed))
    }

    /// Something was done for the client until now.
    fn over_now(&self) {
        self.last_over.store(self.micros(), Ordering::Relaxed);
    }

    /// Microseconds since the connection was opened.
    fn micros(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether nothing would be lost with the connection: there are no requests but streams between
    /// two messages.
    pub(super) fn does_nothing(&self) -> bool {
        let waiting = self.waiting.load(Ordering::Acquire);
        self.in_flight.load(Ordering::Acquire) <= waiting && self.untaken_since().is_none()
    }

    /// When the connection has been silent for too long, if no request comes before; none while
    /// there is one.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        let patience = if self.had_request() {
            self.max_idle
        } else {
            FIRST_HEAD
        };
        Some(self.idle_since()? + patience)
    }

    /// Since when an answer waits for the client to take more of it.
    pub(super) fn untaken_since(&self) -> Option<Instant> {
        self.untaken().values().min().copied()
    }

    fn untaken(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        lock(&self.untaken)
    }

    /// The client takes nothing of what is written, or all of it again.
    pub(super) fn blocked(&self, is_blocked: bool) {
        let was_blocked = self.blocked_since.load(Ordering::Relaxed) > 0;
        if is_blocked != was_blocked {
            let since = if is_blocked { self.micros().max(1) } else { 0 };
            self.blocked_since.store(since, Ordering::Relaxed);
        }
    }

    /// A request waits for more of its body.
    fn awaits(&self, number: u64) {
        lock(&self.unsent)
            .entry(number)
            .or_insert_with(Instant::now);
    }

    /// Enough of it has come, or it isn't waited for any more.
    fn received(&self, number: u64) {
        lock(&self.unsent).remove(&number);
    }

    /// Since when nothing could be done for any request because the client takes or sends nothing; none
    /// where it does or the server has something to do.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        let blocked = self.blocked_since.load(Ordering::Relaxed);
        if blocked > 0 {
            return Some(self.opened + Duration::from_micros(blocked));
        }
        if self.working.load(Ordering::Acquire) > 0 {
            return None;
        }
        let (untaken, unsent) = (self.untaken(), lock(&self.unsent));
        let waiting = self.waiting.load(Ordering::Acquire);
        let in_flight = self.in_flight.load(Ordering::Acquire);
        if untaken.len() + unsent.len() + waiting < in_flight {
            return None;
        }
        untaken.values().chain(unsent.values()).max().copied()
    }

    fn had_request(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// Since when the connection could be closed in favour of another.
    pub(super) fn evictable_since(&self, now: Instant) -> Option<Instant> {
        let expected = !self.had_request() && now < self.opened + FRESH;
        let evicted = self.evicted.load(Ordering::Relaxed);
        (!expected && !evicted && self.does_nothing()).then(|| self.last_over())
    }

    /// Takes the connection's place away.
    pub(super) fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Relaxed)
    }

    /// From now on answers over HTTP/1 ask the client to reconnect.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// The same, at once over HTTP/2 too.
    pub(super) fn retire_now(&self) {
        if !self.retired.swap(true, Ordering::Relaxed) {
            self.changed.notify_one();
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether a request over HTTP/2 has come.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// Returns when the connection was evicted or retired, or turned out to be HTTP/2.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells how the body of a request comes.
#[derive(Debug)]
pub(super) struct BodyProgress {
    activity: Arc<Activity>,
    number: u64,
    /// Bytes that have come since the wait began.
    bytes: usize,
    is_awaited: bool,
}

impl BodyProgress {
    /// Nothing has come, and it is asked for.
    pub(super) fn nothing(&mut self) {
        if !self.is_awaited {
            self.is_awaited = true;
            self.bytes = 0;
            self.activity.awaits(self.number);
        }
    }

    /// So many bytes have come. A few don't end the wait: else a client could send a byte now and then.
    pub(super) fn some(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= PROGRESS_BYTES {
            self.over();
        }
    }

    /// No more is waited for.
    pub(super) fn over(&mut self) {
        if self.is_awaited {
            self.is_awaited = false;
            self.activity.received(self.number);
        }
    }
}

impl Drop for BodyProgress {
    fn drop(&mut self) {
        self.over();
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct ActiveRequest {
    activity: Arc<Activity>,
    version: Version,
    number: u64,
    is_offered: bool,
    is_unpaid: bool,
}

impl ActiveRequest {
    /// Whether its answer is to end the connection. HTTP/2 has a frame for that.
    pub(super) fn is_last(&self) -> bool {
        self.activity.is_retired() && self.version < Version::HTTP_2
    }

    /// For its body.
    pub(super) fn arriving(&self) -> BodyProgress {
        BodyProgress {
            activity: Arc::clone(&self.activity),
            number: self.number,
            bytes: 0,
            is_awaited: false,
        }
    }

    /// There is no memory for it. To be said once.
    pub(super) fn count_unpaid(&mut self) {
        self.is_unpaid = true;
        self.activity.unpaid.fetch_add(1, Ordering::Relaxed);
        self.activity.changed.notify_one();
    }

    /// Something of the answer waits for the client to take it. Of the last part over HTTP/1 the
    /// stream notices when nothing is taken; before it a client could take a byte now and then, and
    /// over HTTP/2 other answers may go on.
    pub(super) fn offered(&mut self, is_last: bool) {
        if self.version == Version::HTTP_2 || !is_last {
            self.is_offered = true;
            self.activity.untaken().insert(self.number, Instant::now());
        }
    }

    /// The client took what was offered.
    pub(super) fn taken(&mut self) {
        if self.is_offered {
            self.is_offered = false;
            self.activity.untaken().remove(&self.number);
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.taken();
        if self.is_unpaid {
            self.activity.unpaid.fetch_sub(1, Ordering::Relaxed);
        }
        self.activity.over_now();
        self.activity.in_flight.fetch_sub(1, Ordering::Release);
    }
}

/// By which a request tells that its client holds it open and nothing is being done for it.
#[derive(Debug, Clone)]
pub struct IdleHandle(Arc<Activity>);

impl IdleHandle {
    pub(super) const fn of(activity: Arc<Activity>) -> Self {
        Self(activity)
    }

    /// Until the result is dropped the request doesn't keep its connection from making room for
    /// another.
    #[must_use]
    pub fn idle(&self) -> IdleGuard {
        self.0.over_now();
        self.0.waiting.fetch_add(1, Ordering::Release);
        IdleGuard(Arc::clone(&self.0))
    }

    /// Until the result is dropped it is the server's turn, though the request waits for more of its body.
    #[must_use]
    pub fn busy(&self) -> BusyGuard {
        self.0.working.fetch_add(1, Ordering::Release);
        BusyGuard(Arc::clone(&self.0))
    }
}

/// A request that waits for more of its body while something is being done for it.
#[derive(Debug)]
pub struct BusyGuard(Arc<Activity>);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Release);
    }
}

/// A request for which nothing is being done.
#[derive(Debug)]
pub struct IdleGuard(Arc<Activity>);

impl Drop for IdleGuard {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Release);
    }
}
