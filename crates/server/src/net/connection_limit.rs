//! The limit for connections, and who makes room when all are taken.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::activity::Activity;

/// How long an evicted connection may take to leave before the next one is evicted, and how often
/// is looked for an idle one while there is none.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a client must have sent or taken nothing to make room for another.
const STALLED: Duration = Duration::from_secs(1);

/// How many connections are evicted at once for their memory.
const RELIEF: usize = 16;

/// The limit.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
    per_peer: Option<NonZeroUsize>,
    max_idle: Duration,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    connections: HashMap<u64, Connection>,
    /// How many there are of each peer that weren't evicted.
    peers: HashMap<IpAddr, usize>,
    /// When memory was last made free.
    relieved: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    activity: Arc<Activity>,
    peer: IpAddr,
}

impl Taken {
    fn leaves(&mut self, peer: IpAddr) {
        if let Entry::Occupied(mut count) = self.peers.entry(peer) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Evicts the connections whose clients have sent or taken nothing for the longest, a few at once.
    fn evict_stalled(&mut self, now: Instant) {
        let mut stalled: Vec<_> = self
            .connections
            .values()
            .filter(|connection| !connection.activity.is_evicted())
            .filter_map(|connection| Some((connection.activity.stalled_since()?, connection)))
            .filter(|(since, _)| *since + STALLED <= now)
            .collect();
        stalled.sort_unstable_by_key(|(since, _)| *since);
        stalled.truncate(RELIEF);
        let peers: Vec<_> = stalled
            .into_iter()
            .map(|(_, connection)| {
                connection.activity.evict();
                connection.peer
            })
            .collect();
        tracing::debug!(connections = peers.len(), "memory is made free");
        for peer in peers {
            self.leaves(peer);
        }
    }

    /// Evicts the connection that has been idle the longest, or else the one whose client has sent or
    /// taken nothing for the longest: of one peer, or of all. Whether there is one.
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
                .filter(|(since, _)| *since + STALLED <= now)
                .min_by_key(|(since, _)| *since)
        });
        let Some((since, Connection { activity, peer })) = found else {
            return false;
        };
        tracing::debug!(since = ?(now - since), "a connection makes room for a new one");
        activity.evict();
        let peer = *peer;
        self.leaves(peer);
        true
    }
}

impl ConnectionLimit {
    /// `max_idle` is the longest time that a connection may be idle between two requests.
    pub(super) fn new(
        count: NonZeroUsize,
        per_peer: Option<NonZeroUsize>,
        max_idle: Duration,
    ) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count.get().min(Semaphore::MAX_PERMITS))),
            taken: Mutex::default(),
            per_peer,
            max_idle,
        }
    }

    /// Takes a place for a new connection; where there is none, a connection that is idle or makes no
    /// progress is evicted. None where its peer has as many as it may, and none of them is like that: it
    /// would keep others waiting.
    pub(super) async fn take(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionSlot> {
        let peer = network(peer);
        if let Some(most) = self.per_peer {
            let mut taken = self.taken();
            let count = taken.peers.get(&peer).copied().unwrap_or_default();
            if count >= most.get() && !taken.evict(Some(peer)) {
                return None;
            }
        }
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            self.taken().evict(None);
            let freed = Arc::clone(&self.free).acquire_owned();
            if let Ok(Ok(permit)) = timeout(LOOK_AGAIN, freed).await {
                break permit;
            }
        };
        let activity = Arc::new(Activity::new(self.max_idle));
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        *taken.peers.entry(peer).or_default() += 1;
        let connection = Connection {
            activity: Arc::clone(&activity),
            peer,
        };
        taken.connections.insert(number, connection);
        drop(taken);
        Some(ConnectionSlot {
            limit: Arc::clone(self),
            number,
            activity,
            _permit: permit,
        })
    }

    /// Makes memory free where all is in use: clients that send or take nothing keep that of their requests.
    pub(super) fn relieve(&self) {
        let now = Instant::now();
        let mut taken = self.taken();
        // Every refused request asks for it.
        if taken.relieved.is_none_or(|last| now >= last + LOOK_AGAIN) {
            taken.relieved = Some(now);
            taken.evict_stalled(now);
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose connections are counted together: those of an address, of IPv6 those of a /64 network, which a
/// single host may have all addresses of.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// A connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    limit: Arc<ConnectionLimit>,
    number: u64,
    activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlot {
    /// All limit.
    pub(super) const fn of(&self) -> &Arc<ConnectionLimit> {
        &self.limit
    }

    /// What the connection is doing.
    pub(super) const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = self.limit.taken();
        if let Some(Connection { activity, peer }) = taken.connections.remove(&self.number)
            && !activity.is_evicted()
        {
            taken.leaves(peer);
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

    /// Has had a request, and is idle from now on.
    async fn used(limit: &Arc<ConnectionLimit>) -> ConnectionSlot {
        let slot = limit.take(PEER).await.unwrap();
        drop(slot.activity().request(Version::HTTP_11));
        slot
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_was_idle_the_longest_makes_room() {
        let limit = limit(3);
        let first = used(&limit).await;
        advance(Duration::from_secs(1)).await;
        let second = used(&limit).await;
        advance(Duration::from_secs(1)).await;
        let _third = used(&limit).await;
        advance(Duration::from_secs(1)).await;
        drop(first.activity().request(Version::HTTP_11));
        let newcomer = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.take(PEER).await.unwrap() }
        });
        tokio::task::yield_now().await;
        assert!(second.activity().is_evicted() && !first.activity().is_evicted());
        drop(second);
        let _newcomer = newcomer.await.unwrap();
        assert_eq!(limit.taken().connections.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_is_answered_is_evicted_and_the_newcomer_waits() {
        let limit = limit(1);
        let busy = limit.take(PEER).await.unwrap();
        let request = busy.activity().request(Version::HTTP_11);
        let newcomer = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.take(PEER).await.unwrap() }
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
        let limit = limit(1);
        let fresh = limit.take(PEER).await.unwrap();
        assert!(
            timeout(Duration::from_millis(900), limit.take(PEER))
                .await
                .is_err()
        );
        assert!(!fresh.activity().is_evicted());
        assert!(
            timeout(Duration::from_millis(200), limit.take(PEER))
                .await
                .is_err()
        );
        assert!(fresh.activity().is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_makes_room_where_nobody_is_idle() {
        let limit = limit(2);
        let stalled = limit.take(PEER).await.unwrap();
        let _its = stalled.activity().request(Version::HTTP_11);
        stalled.activity().blocked(true);
        let busy = limit.take(PEER).await.unwrap();
        let _request = busy.activity().request(Version::HTTP_11);
        advance(Duration::from_secs(1)).await;
        let newcomer = || timeout(STALLED / 2, limit.take(OTHER));
        assert!(newcomer().await.is_err());
        assert!(stalled.activity().is_evicted() && !busy.activity().is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_for_less_than_a_second_is_only_slow() {
        let limit = limit(1);
        let slow = limit.take(PEER).await.unwrap();
        let _request = slow.activity().request(Version::HTTP_11);
        advance(Duration::from_secs(10)).await;
        slow.activity().blocked(true);
        let newcomer = timeout(STALLED * 9 / 10, limit.take(OTHER));
        assert!(newcomer.await.is_err() && !slow.activity().is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_no_more_than_its_share_and_others_theirs() {
        let two = NonZeroUsize::new(2).unwrap();
        let four = NonZeroUsize::new(4).unwrap();
        let limit = Arc::new(ConnectionLimit::new(
            four,
            Some(two),
            Duration::from_secs(75),
        ));
        let first = limit.take(PEER).await.unwrap();
        let second = limit.take(PEER).await.unwrap();
        assert!(limit.take(PEER).await.is_none(), "none of them is idle");
        let _other = limit.take(OTHER).await.unwrap();
        drop(second);
        let third = limit.take(PEER).await.unwrap();
        drop(third.activity().request(Version::HTTP_11));
        let fourth = limit.take(PEER).await;
        assert!(third.activity().is_evicted() && fourth.is_some());
        assert!(!first.activity().is_evicted());
        assert!(limit.take(PEER).await.is_none());
        drop((first, third, fourth));
        assert_eq!(limit.taken().peers.len(), 1, "only the other one");
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_made_free_of_those_who_stall_alone() {
        let limit = limit(100);
        let mut stalled = Vec::new();
        for _ in 0..RELIEF + 1 {
            let slot = limit.take(PEER).await.unwrap();
            let request = slot.activity().request(Version::HTTP_11);
            slot.activity().blocked(true);
            stalled.push((slot, request));
            advance(Duration::from_millis(1)).await;
        }
        let idle = used(&limit).await;
        let busy = limit.take(PEER).await.unwrap();
        let _request = busy.activity().request(Version::HTTP_11);
        let evicted = || {
            let evicted = stalled.iter().map(|(slot, _)| slot.activity().is_evicted());
            evicted.collect::<Vec<_>>()
        };
        limit.relieve();
        assert_eq!(evicted(), [false; RELIEF + 1], "not for so short a time");
        advance(STALLED).await;
        limit.relieve();
        assert_eq!(evicted()[..RELIEF], [true; RELIEF], "the longest first");
        assert!(!evicted()[RELIEF]);
        limit.relieve();
        assert!(!evicted()[RELIEF], "not twice in an instant");
        advance(LOOK_AGAIN).await;
        limit.relieve();
        assert!(evicted()[RELIEF]);
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
