//! The next step of a candidate, as a function of the observed lease.
//!
//! The validity of a lease is measured with the local monotonic clock, from the time at which the latest change of the
//! lease was seen. Times in the lease are never compared with a local clock, so different clocks can't cause two
//! leaders (the algorithm of <https://pkg.go.dev/k8s.io/client-go/tools/leaderelection>).

use std::time::Duration;

use tokio::time::Instant;

/// A lease, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Its holder. Empty if it was released.
    pub holder: String,
    /// Its validity after the latest renewal.
    pub duration: Duration,
    /// Resource version: changes with every renewal.
    pub version: String,
    /// Number of changes of its holder.
    pub transitions: i32,
}

/// A lease, and when its current version was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The lease.
    pub record: LeaseRecord,
    /// When this version was first seen.
    pub since: Instant,
}

impl Observed {
    /// Updates the lease. An unchanged version keeps its time.
    #[must_use]
    pub fn update(previous: Option<Self>, record: LeaseRecord, now: Instant) -> Self {
        match previous {
            Some(previous) if previous.record.version == record.version => previous,
            _ => Self { record, since: now },
        }
    }
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Create the lease.
    Create,
    /// Renew our lease.
    Renew,
    /// Replace the holder of a released or expired lease.
    TakeOver,
    /// Wait: another candidate holds it.
    Follow,
}

/// Decides the next step of the candidate `me` at the time `now`.
#[must_use]
pub fn evaluate(lease: Option<&Observed>, me: &str, now: Instant) -> Decision {
    match lease {
        None => Decision::Create,
        Some(lease) if lease.record.holder == me => Decision::Renew,
        Some(lease) if lease.record.holder.is_empty() => Decision::TakeOver,
        Some(lease) if now.duration_since(lease.since) >= lease.record.duration => {
            Decision::TakeOver
        }
        Some(_) => Decision::Follow,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(holder: &str, version: &str) -> LeaseRecord {
        LeaseRecord {
            holder: holder.to_owned(),
            duration: Duration::from_secs(15),
            version: version.to_owned(),
            transitions: 0,
        }
    }

    fn seen(holder: &str, since: Instant) -> Observed {
        Observed {
            record: record(holder, "1"),
            since,
        }
    }

    #[test]
    fn a_missing_lease_is_created_and_the_own_lease_renewed() {
        let now = Instant::now();
        assert_eq!(evaluate(None, "a", now), Decision::Create);
        assert_eq!(evaluate(Some(&seen("a", now)), "a", now), Decision::Renew);
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let now = Instant::now();
        assert_eq!(evaluate(Some(&seen("", now)), "a", now), Decision::TakeOver);
    }

    #[test]
    fn the_lease_of_another_candidate_is_taken_once_it_has_expired() {
        let start = Instant::now();
        let lease = seen("b", start);
        let just_before = start + Duration::from_millis(14_999);
        assert_eq!(evaluate(Some(&lease), "a", just_before), Decision::Follow);
        assert_eq!(
            evaluate(Some(&lease), "a", start + Duration::from_secs(15)),
            Decision::TakeOver
        );
    }

    #[test]
    fn a_renewal_resets_the_time_and_another_read_does_not() {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        let first = Observed::update(None, record("b", "1"), start);
        assert_eq!(
            Observed::update(Some(first.clone()), record("b", "1"), later).since,
            start
        );
        assert_eq!(
            Observed::update(Some(first), record("b", "2"), later).since,
            later
        );
    }

    proptest! {
        /// Two candidates that see the same lease never both believe that it is theirs to keep, and
        /// a lease that is renewed in time is never taken.
        #[test]
        fn a_lease_renewed_in_time_is_never_taken(gaps in prop::collection::vec(0_u64..15_000, 1..50)) {
            let mut now = Instant::now();
            let mut lease = Observed::update(None, record("b", "0"), now);
            for (index, gap) in gaps.into_iter().enumerate() {
                now += Duration::from_millis(gap);
                prop_assert_eq!(evaluate(Some(&lease), "a", now), Decision::Follow);
                prop_assert_eq!(evaluate(Some(&lease), "b", now), Decision::Renew);
                lease = Observed::update(Some(lease), record("b", &(index + 1).to_string()), now);
            }
        }
    }
}
