//! The state of a connection: a function of its events and of time, without a socket or a clock.
//!
//! [`ConnectionState::advance`] and [`ConnectionState::verdict`] decide how the connection goes on.

use std::time::Duration;

use http::Version;
use tokio::time::Instant;

use super::shutdown::ShutdownPhase;

/// Maximum time in which a client takes nothing of its responses. For one response among several
/// over HTTP/2 up to twice as long, because the state is checked at this interval.
pub(super) const MAX_STALL: Duration = Duration::from_secs(30);

/// Maximum time from the opening of a connection to the complete head of its first request.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time during which a new connection counts as one whose first request is in transit.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);

/// Maximum active requests of a connection that were rejected for lack of memory and whose client
/// hasn't taken the response. Their memory isn't counted anywhere, so the connection ends.
pub(super) const MAX_UNCOUNTED_REQUESTS: usize = 8;

/// The state of a connection.
#[derive(Debug)]
pub(super) struct ConnectionState {
    opened: Instant,
    /// Maximum time between a response and the complete head of the next request.
    idle_timeout: Duration,
    /// When the client is asked to reconnect. None: never.
    retires_at: Option<Instant>,
    retirement: Retirement,
    is_evicted: bool,
    is_http2: bool,
    /// Requests so far, and the number of the next one.
    requests: u64,
    /// Requests whose response isn't complete.
    active: Vec<Request>,
    /// When a request was last worked on.
    last_active: Instant,
    /// Since when the client takes nothing of the bytes that are written.
    write_blocked_since: Option<Instant>,
}

/// How far the connection is on its way to a reconnect of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retirement {
    No,
    /// Responses over HTTP/1 ask for it. Over HTTP/2, GOAWAY is due.
    Due,
    /// GOAWAY was sent.
    Announced,
}

/// An active request.
#[derive(Debug)]
struct Request {
    number: u64,
    turn: Turn,
    /// Since when it waits for more of its body.
    awaits_body_since: Option<Instant>,
    /// Since when its response waits for the client to take more of it.
    awaits_client_since: Option<Instant>,
    /// It was rejected for lack of memory.
    is_uncounted: bool,
}

/// Whose turn a request is, as its handler says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The client's while the request waits for its body or its response for the client.
    Unspecified,
    /// The client's: it keeps the request open and the server has nothing to do.
    Client,
    /// The server's, even if the request waits for more of its body.
    Server,
}

impl Request {
    fn is_clients_turn(&self) -> bool {
        match self.turn {
            Turn::Unspecified => self.waits().next().is_some(),
            Turn::Client => true,
            Turn::Server => false,
        }
    }

    /// The beginnings of its waits for the client.
    fn waits(&self) -> impl Iterator<Item = Instant> {
        [self.awaits_body_since, self.awaits_client_since]
            .into_iter()
            .flatten()
    }
}

/// How the connection waits for its next event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// GOAWAY is to be sent first.
    pub(super) sends_goaway: bool,
    /// When the state is to be checked without an event.
    pub(super) until: Instant,
}

/// How the connection goes on after an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As before.
    Continue,
    /// It takes no further request and ends after its active ones.
    Finish,
    /// It ends as soon as no request would be lost.
    Close,
    /// It ends at once.
    Abort(&'static str),
}

/// Transitions.
impl ConnectionState {
    pub(super) const fn new(opened: Instant, idle_timeout: Duration) -> Self {
        Self {
            opened,
            idle_timeout,
            retires_at: None,
            retirement: Retirement::No,
            is_evicted: false,
            is_http2: false,
            requests: 0,
            active: Vec::new(),
            last_active: opened,
            write_blocked_since: None,
        }
    }

    /// Sets the age at which the client is asked to reconnect. None: never.
    pub(super) fn set_age(&mut self, age: Option<Duration>) {
        self.retires_at = age.map(|age| self.opened + age);
    }

    /// The head of a request is complete. Gives its number.
    pub(super) fn begin_request(&mut self, version: Version) -> u64 {
        let number = self.requests;
        self.requests += 1;
        self.is_http2 |= version == Version::HTTP_2;
        self.active.push(Request {
            number,
            turn: Turn::Unspecified,
            awaits_body_since: None,
            awaits_client_since: None,
            is_uncounted: false,
        });
        number
    }

    /// The response of a request was taken or given up.
    pub(super) fn end_request(&mut self, number: u64, now: Instant) {
        self.active.retain(|request| request.number != number);
        self.last_active = now;
    }

    /// A request was rejected for lack of memory.
    pub(super) fn set_uncounted(&mut self, number: u64) {
        self.update(number, |request| request.is_uncounted = true);
    }

    /// A request waits for more of its body. It has waited since an earlier call, if there was one.
    pub(super) fn await_body(&mut self, number: u64, now: Instant) {
        self.update(number, |request| {
            request.awaits_body_since.get_or_insert(now);
        });
    }

    /// Enough of a body was received, or it isn't waited for any more.
    pub(super) fn receive_body(&mut self, number: u64) {
        self.update(number, |request| request.awaits_body_since = None);
    }

    /// A part of a response waits for the client to take it.
    pub(super) fn await_client(&mut self, number: u64, now: Instant) {
        self.update(number, |request| request.awaits_client_since = Some(now));
    }

    /// The client took it.
    pub(super) fn client_took(&mut self, number: u64) {
        self.update(number, |request| request.awaits_client_since = None);
    }

    /// Says whose turn a request is. From the client's turn on, the connection counts as idle.
    pub(super) fn set_turn(&mut self, number: u64, turn: Turn, now: Instant) {
        if turn == Turn::Client {
            self.last_active = now;
        }
        self.update(number, |request| request.turn = turn);
    }

    /// The client takes nothing of the bytes that are written, or takes all of them again.
    pub(super) fn set_write_blocked(&mut self, is_blocked: bool, now: Instant) {
        if is_blocked {
            self.write_blocked_since.get_or_insert(now);
        } else {
            self.write_blocked_since = None;
        }
    }

    /// Asks the client to reconnect. Gives whether that is new.
    pub(super) fn retire(&mut self) -> bool {
        let is_new = self.retirement == Retirement::No;
        if is_new {
            self.retirement = Retirement::Due;
        }
        is_new
    }

    /// Takes the slot of the connection away.
    pub(super) const fn evict(&mut self) {
        self.is_evicted = true;
    }

    /// Takes in the time and the phase of the server before the connection waits for an event.
    pub(super) fn advance(&mut self, phase: ShutdownPhase, now: Instant) -> Wait {
        if phase >= ShutdownPhase::AskReconnect || self.retires_at.is_some_and(|at| at <= now) {
            self.retire();
            self.retires_at = None;
        }
        // Before the first request it isn't known whether the client speaks HTTP/2.
        let sends_goaway = self.retirement == Retirement::Due && self.is_http2;
        if sends_goaway {
            self.retirement = Retirement::Announced;
        }
        // A request that comes and goes meanwhile leaves the connection idle without an event.
        let latest = now + MAX_STALL.min(self.idle_timeout);
        let times = [self.idle_deadline(), self.retires_at];
        Wait {
            sends_goaway,
            until: times.into_iter().flatten().fold(latest, Instant::min),
        }
    }

    fn update(&mut self, number: u64, change: impl FnOnce(&mut Request)) {
        let mut active = self.active.iter_mut();
        if let Some(request) = active.find(|request| request.number == number) {
            change(request);
        }
    }
}

/// Queries.
impl ConnectionState {
    pub(super) const fn opened(&self) -> Instant {
        self.opened
    }

    pub(super) const fn is_evicted(&self) -> bool {
        self.is_evicted
    }

    /// Whether the client is asked to reconnect.
    pub(super) fn is_retired(&self) -> bool {
        self.retirement != Retirement::No
    }

    /// How the connection goes on after an event.
    pub(super) fn verdict(&self, phase: ShutdownPhase, now: Instant) -> Verdict {
        if phase == ShutdownPhase::FinishRequests {
            return Verdict::Finish;
        }
        let uncounted = self.active.iter().filter(|request| request.is_uncounted);
        if uncounted.count() > MAX_UNCOUNTED_REQUESTS {
            return Verdict::Abort("the client doesn't take rejections");
        }
        if self.is_evicted && self.stalled_since().is_some() {
            return Verdict::Abort("its slot is needed, and its client makes no progress");
        }
        if self.is_evicted || self.idle_deadline().is_some_and(|at| at <= now) {
            return Verdict::Close;
        }
        let untaken = self.untaken_since();
        if untaken.is_some_and(|since| now - since >= MAX_STALL) {
            return Verdict::Abort("the client takes nothing of a response");
        }
        Verdict::Continue
    }

    /// Since when there is no active request. None if there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.active.is_empty().then_some(self.last_active)
    }

    /// When the idle timeout passes if no request comes before. None if there is an active request.
    fn idle_deadline(&self) -> Option<Instant> {
        let timeout = if self.requests > 0 {
            self.idle_timeout
        } else {
            FIRST_HEAD_TIMEOUT
        };
        Some(self.idle_since()? + timeout)
    }

    /// Whether nothing would be lost with the connection: all of its active requests are streams
    /// between two messages.
    pub(super) fn is_droppable(&self) -> bool {
        self.untaken_since().is_none() && self.active.iter().all(|one| one.turn == Turn::Client)
    }

    /// Since when the connection could be closed in favour of another one.
    pub(super) fn evictable_since(&self, now: Instant) -> Option<Instant> {
        let is_awaited = self.requests == 0 && now < self.opened + FIRST_REQUEST_GRACE;
        (!is_awaited && !self.is_evicted && self.is_droppable()).then_some(self.last_active)
    }

    /// Since when a response waits for the client to take more of it: the earliest one.
    pub(super) fn untaken_since(&self) -> Option<Instant> {
        let active = self.active.iter();
        active
            .filter_map(|request| request.awaits_client_since)
            .min()
    }

    /// Since when no request can be worked on because the client takes or sends nothing.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        if self.write_blocked_since.is_some() {
            return self.write_blocked_since;
        }
        if !self.active.iter().all(Request::is_clients_turn) {
            return None;
        }
        self.active.iter().flat_map(Request::waits).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

    fn state() -> (ConnectionState, Instant) {
        let opened = Instant::now();
        (ConnectionState::new(opened, IDLE_TIMEOUT), opened)
    }

    #[test]
    fn the_first_head_has_a_timeout_of_its_own() {
        let (mut state, opened) = state();
        let wait = state.advance(ShutdownPhase::Running, opened);
        assert_eq!(wait.until, opened + FIRST_HEAD_TIMEOUT);
        let verdict =
            |state: &ConnectionState, after| state.verdict(ShutdownPhase::Running, opened + after);
        assert_eq!(verdict(&state, FIRST_HEAD_TIMEOUT), Verdict::Close);
        let request = state.begin_request(Version::HTTP_11);
        assert_eq!(verdict(&state, FIRST_HEAD_TIMEOUT), Verdict::Continue);
        state.end_request(request, opened + 20 * SECOND);
        let idle = 20 * SECOND + IDLE_TIMEOUT;
        assert_eq!(verdict(&state, idle - SECOND), Verdict::Continue);
        assert_eq!(verdict(&state, idle), Verdict::Close);
    }

    #[test]
    fn goaway_is_sent_once_and_only_when_the_client_speaks_http2() {
        let (mut state, opened) = state();
        state.set_age(Some(SECOND));
        let sends = |state: &mut ConnectionState, seconds| {
            let now = opened + seconds * SECOND;
            state.advance(ShutdownPhase::Running, now).sends_goaway
        };
        assert!(!sends(&mut state, 0) && !state.is_retired());
        assert!(!sends(&mut state, 1) && state.is_retired());
        state.begin_request(Version::HTTP_2);
        assert!(sends(&mut state, 2));
        assert!(!sends(&mut state, 3));
        assert!(!state.retire(), "it is already");
    }

    #[test]
    fn a_connection_stalls_when_all_of_its_requests_wait_for_the_client() {
        let (mut state, opened) = state();
        let at = |seconds| opened + seconds * SECOND;
        let sends = state.begin_request(Version::HTTP_2);
        let takes = state.begin_request(Version::HTTP_2);
        state.await_body(sends, at(1));
        state.await_client(sends, at(2));
        assert_eq!(
            state.stalled_since(),
            None,
            "the other one can be worked on"
        );
        state.await_client(takes, at(3));
        assert_eq!(state.stalled_since(), Some(at(3)));
        assert_eq!(state.untaken_since(), Some(at(2)));
        state.set_turn(sends, Turn::Server, at(4));
        assert_eq!(state.stalled_since(), None);
        state.set_write_blocked(true, at(5));
        state.set_write_blocked(true, at(6));
        assert_eq!(state.stalled_since(), Some(at(5)));
    }
}
