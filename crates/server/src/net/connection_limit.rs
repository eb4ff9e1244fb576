//! The limit of concurrent connections, and which one is evicted when it is reached.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::activity::Activity;

/// Time after which the next connection is evicted if the previous one hasn't ended, or none could be
/// evicted.
const EVICTION_INTERVAL: Duration = Duration::from_millis(10);

/// Minimum time without progress of the client after which a connection is evicted.
const MIN_STALL: Duration = Duration::from_secs(1);

/// Maximum connections that are evicted at once for their memory.
const MAX_EVICTIONS: usize = 16;

/// The limit of concurrent connections. Each connection has a slot.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    free: Arc<Semaphore>,
    slots: Mutex<Slots>,
    per_peer: Option<NonZeroUsize>,
    idle_timeout: Duration,
}

/// The slots that are taken.
#[derive(Debug, Default)]
struct Slots {
    next: u64,
    connections: HashMap<u64, Connection>,
    /// Connections of each peer that weren't evicted.
    peers: HashMap<IpAddr, usize>,
    /// When connections were last evicted for their memory.
    memory_reclaimed: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    activity: Arc<Activity>,
    peer: IpAddr,
}

impl Slots {
    fn release(&mut self, peer: IpAddr) {
        if let Entry::Occupied(mut count) = self.peers.entry(peer) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Evicts the connections that have stalled for the longest time, at most [`MAX_EVICTIONS`].
    fn evict_stalled(&mut self, now: Instant) {
        let mut stalled: Vec<_> = self
            .connections
            .values()
            .filter(|connection| !connection.activity.is_evicted())
            .filter_map(|connection| Some((connection.activity.stalled_since()?, connection)))
            .filter(|(since, _)| *since + MIN_STALL <= now)
            .collect();
        stalled.sort_unstable_by_key(|(since, _)| *since);
        stalled.truncate(MAX_EVICTIONS);
        let peers: Vec<_> = stalled
            .into_iter()
            .map(|(_, connection)| {
                connection.activity.evict();
                connection.peer
            })
            .collect();
        tracing::debug!(
            connections = peers.len(),
            "evicted stalled connections for their memory"
        );
        for peer in peers {
            self.release(peer);
        }
    }

    /// Evicts the connection that has been idle for the longest time, or else the one that has stalled for
    /// the longest time: of one peer, or of all. Gives whether there is one.
    fn evict(&mut self, of: Option<IpAddr>) -> bool {
        let now = Instant::now();
        let candidates = || {
            let connections = self.connections.values();
            connections.filter(|connection| {
                of.is_none_or(|peer| connection.peer == peer) && !connection.activity.is_evicted()
            })
        };
        let idle = candidates()
            .filter_map(|one| Some((one.activity.evictable_since(now)?, one)))
            .min_by_key(|(since, _)| *since);
        let found = idle.or_else(|| {
            candidates()
                .filter_map(|one| Some((one.activity.stalled_since()?, one)))
                .filter(|(since, _)| *since + MIN_STALL <= now)
                .min_by_key(|(since, _)| *since)
        });
        let Some((since, Connection { activity, peer })) = found else {
            return false;
        };
        tracing::debug!(since = ?(now - since), "evicted a connection for a new one");
        activity.evict();
        let peer = *peer;
        self.release(peer);
        true
    }
}

impl ConnectionLimit {
    /// At most `count` connections, and `per_peer` of each address. `idle_timeout` is the maximum time between
    /// two requests of a connection.
    pub(super) fn new(
        count: NonZeroUsize,
        per_peer: Option<NonZeroUsize>,
        idle_timeout: Duration,
    ) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count.get().min(Semaphore::MAX_PERMITS))),
            slots: Mutex::default(),
            per_peer,
            idle_timeout,
        }
    }

    /// Takes a slot for a new connection. If none is free, evicts a connection that is idle or stalled, and
    /// waits for it to end. None if the peer has reached its limit and none of its connections can be
    /// evicted: a wait would delay the connections of other peers.
    pub(super) async fn acquire(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionSlot> {
        let peer = network(peer);
        if let Some(maximum) = self.per_peer {
            let mut slots = self.slots();
            let count = slots.peers.get(&peer).copied().unwrap_or_default();
            if count >= maximum.get() && !slots.evict(Some(peer)) {
                return None;
            }
        }
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            self.slots().evict(None);
            let freed = Arc::clone(&self.free).acquire_owned();
            if let Ok(Ok(permit)) = timeout(EVICTION_INTERVAL, freed).await {
                break permit;
            }
        };
        let activity = Arc::new(Activity::new(self.idle_timeout));
        let mut slots = self.slots();
        let number = slots.next;
        slots.next += 1;
        *slots.peers.entry(peer).or_default() += 1;
        let connection = Connection {
            activity: Arc::clone(&activity),
            peer,
        };
        slots.connections.insert(number, connection);
        drop(slots);
        Some(ConnectionSlot {
            limit: Arc::clone(self),
            number,
            activity,
            _permit: permit,
        })
    }

    /// Evicts stalled connections when the memory for requests is exhausted, because their requests hold some.
    pub(super) fn reclaim_memory(&self) {
        let now = Instant::now();
        let mut slots = self.slots();
        // It is called for each rejected request.
        if slots
            .memory_reclaimed
            .is_none_or(|last| now >= last + EVICTION_INTERVAL)
        {
            slots.memory_reclaimed = Some(now);
            slots.evict_stalled(now);
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The peer that a connection counts for: an IPv4 address, or an IPv6 network of /64, because one host may
/// have all of its addresses.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// The slot of a connection. It is free again when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    limit: Arc<ConnectionLimit>,
    number: u64,
    activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlot {
    /// The limit that it belongs to.
    pub(super) const fn limit(&self) -> &Arc<ConnectionLimit> {
        &self.limit
    }

    /// The shared state of the connection.
    pub(super) const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut slots = self.limit.slots();
        if let Some(Connection { activity, peer }) = slots.connections.remove(&self.number)
            && !activity.is_evicted()
        {
            slots.release(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::Version;
    use tokio::time::advance;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const OTHER: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn limit(count: usize) -> Arc<ConnectionLimit> {
        Arc::new(ConnectionLimit::new(
            NonZeroUsize::new(count).unwrap(),
            None,
            Duration::from_secs(75),
        ))
    }

    /// A connection that has had a request and is idle now.
    async fn used(limit: &Arc<ConnectionLimit>) -> ConnectionSlot {
        let slot = limit.acquire(PEER).await.unwrap();
        drop(slot.activity().begin_request(Version::HTTP_11));
        slot
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_was_idle_for_the_longest_time_is_evicted() {
        let limit = limit(3);
        let first = used(&limit).await;
        advance(Duration::from_secs(1)).await;
        let second = used(&limit).await;
        advance(Duration::from_secs(1)).await;
        let _third = used(&limit).await;
        advance(Duration::from_secs(1)).await;
        drop(first.activity().begin_request(Version::HTTP_11));
        let newcomer = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.acquire(PEER).await.unwrap() }
        });
        tokio::task::yield_now().await;
        assert!(second.activity().is_evicted() && !first.activity().is_evicted());
        drop(second);
        let _newcomer = newcomer.await.unwrap();
        assert_eq!(limit.slots().connections.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_an_active_request_is_not_evicted_and_the_new_one_waits() {
        let limit = limit(1);
        let busy = limit.acquire(PEER).await.unwrap();
        let request = busy.activity().begin_request(Version::HTTP_11);
        let newcomer = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.acquire(PEER).await.unwrap() }
        });
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!busy.activity().is_evicted());
        drop(request);
        tokio::time::sleep(2 * EVICTION_INTERVAL).await;
        assert!(busy.activity().is_evicted(), "it is idle now");
        drop(busy);
        let _newcomer = newcomer.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_is_not_evicted_for_a_second() {
        let limit = limit(1);
        let fresh = limit.acquire(PEER).await.unwrap();
        assert!(
            timeout(Duration::from_millis(900), limit.acquire(PEER))
                .await
                .is_err()
        );
        assert!(!fresh.activity().is_evicted());
        assert!(
            timeout(Duration::from_millis(200), limit.acquire(PEER))
                .await
                .is_err()
        );
        assert!(fresh.activity().is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_connection_is_evicted_if_none_is_idle() {
        let limit = limit(2);
        let stalled = limit.acquire(PEER).await.unwrap();
        let _its = stalled.activity().begin_request(Version::HTTP_11);
        stalled.activity().set_write_blocked(true);
        let busy = limit.acquire(PEER).await.unwrap();
        let _request = busy.activity().begin_request(Version::HTTP_11);
        advance(Duration::from_secs(1)).await;
        let newcomer = || timeout(MIN_STALL / 2, limit.acquire(OTHER));
        assert!(newcomer().await.is_err());
        assert!(stalled.activity().is_evicted() && !busy.activity().is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_for_less_than_a_second_is_slow_and_not_stalled() {
        let limit = limit(1);
        let slow = limit.acquire(PEER).await.unwrap();
        let _request = slow.activity().begin_request(Version::HTTP_11);
        advance(Duration::from_secs(10)).await;
        slow.activity().set_write_blocked(true);
        let newcomer = timeout(MIN_STALL * 9 / 10, limit.acquire(OTHER));
        assert!(newcomer.await.is_err() && !slow.activity().is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_a_limit_of_its_own() {
        let two = NonZeroUsize::new(2).unwrap();
        let four = NonZeroUsize::new(4).unwrap();
        let limit = Arc::new(ConnectionLimit::new(
            four,
            Some(two),
            Duration::from_secs(75),
        ));
        let first = limit.acquire(PEER).await.unwrap();
        let second = limit.acquire(PEER).await.unwrap();
        assert!(limit.acquire(PEER).await.is_none(), "none of them is idle");
        let _other = limit.acquire(OTHER).await.unwrap();
        drop(second);
        let third = limit.acquire(PEER).await.unwrap();
        drop(third.activity().begin_request(Version::HTTP_11));
        let fourth = limit.acquire(PEER).await;
        assert!(third.activity().is_evicted() && fourth.is_some());
        assert!(!first.activity().is_evicted());
        assert!(limit.acquire(PEER).await.is_none());
        drop((first, third, fourth));
        assert_eq!(limit.slots().peers.len(), 1, "only the other one");
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_reclaimed_from_stalled_connections_only() {
        let limit = limit(100);
        let mut stalled = Vec::new();
        for _ in 0..MAX_EVICTIONS + 1 {
            let slot = limit.acquire(PEER).await.unwrap();
            let request = slot.activity().begin_request(Version::HTTP_11);
            slot.activity().set_write_blocked(true);
            stalled.push((slot, request));
            advance(Duration::from_millis(1)).await;
        }
        let idle = used(&limit).await;
        let busy = limit.acquire(PEER).await.unwrap();
        let _request = busy.activity().begin_request(Version::HTTP_11);
        let evicted = || {
            let evicted = stalled.iter().map(|(slot, _)| slot.activity().is_evicted());
            evicted.collect::<Vec<_>>()
        };
        limit.reclaim_memory();
        assert_eq!(
            evicted(),
            [false; MAX_EVICTIONS + 1],
            "they haven't stalled for long enough"
        );
        advance(MIN_STALL).await;
        limit.reclaim_memory();
        assert_eq!(
            evicted()[..MAX_EVICTIONS],
            [true; MAX_EVICTIONS],
            "the longest stalls first"
        );
        assert!(!evicted()[MAX_EVICTIONS]);
        limit.reclaim_memory();
        assert!(
            !evicted()[MAX_EVICTIONS],
            "not before the interval has passed"
        );
        advance(EVICTION_INTERVAL).await;
        limit.reclaim_memory();
        assert!(evicted()[MAX_EVICTIONS]);
        assert!(!idle.activity().is_evicted() && !busy.activity().is_evicted());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("fd00::1"), network("fd00::ffff:0:0:2"));
        assert_ne!(network("fd00::1"), network("fd00:0:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
    }
}
