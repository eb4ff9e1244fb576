//! One schedule: a recurring time window with higher minimum replicas.

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{TimeZone, TimeZoneDatabase},
};
use springtide_api::schedule::Schedule as Spec;

use super::{
    expression::{Expression, Occurrence},
    invalid::Problem,
};

/// Number of starts and ends that are checked for alternation: five days of the most frequent expressions, two months
/// of daily ones, five years of monthly ones.
const CHECKED_BOUNDARIES: usize = 128;

/// A valid schedule. It is active from each start to the next end.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub(super) name: String,
    pub(super) min_replicas: i32,
    zone: TimeZone,
    start: Expression,
    end: Expression,
}

impl Schedule {
    /// Parses the fields, except those that are checked for all schedules together. An error has the name of its field.
    pub(super) fn parse(spec: &Spec) -> Result<Self, (&'static str, Problem)> {
        let zone = zone(&spec.timezone).ok_or(("timezone", Problem::UnknownZone))?;
        let start = Expression::parse(&spec.start).map_err(|error| ("start", error.into()))?;
        let end = Expression::parse(&spec.end).map_err(|error| ("end", error.into()))?;
        check_alternation(&start, &end)?;
        Ok(Self {
            name: spec.name.clone(),
            min_replicas: spec.min_replicas,
            zone,
            start,
            end,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Minimum replicas while it is active.
    #[must_use]
    pub const fn min_replicas(&self) -> i32 {
        self.min_replicas
    }

    /// Whether it is active: whether its next end comes before its next start. If it has neither, it isn't.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        match (self.next_start(now), self.next_end(now)) {
            (Some(start), Some(end)) => end < start,
            _ => false,
        }
    }

    /// Whether it is active or starts within `lead_time`.
    pub(super) fn is_active_within(&self, lead_time: SignedDuration, now: Timestamp) -> bool {
        let starts = |horizon| {
            self.next_start(now)
                .is_some_and(|start| start.at <= horizon)
        };
        self.is_active(now) || now.checked_add(lead_time).is_ok_and(starts)
    }

    /// The next time at which [`is_active_within`](Self::is_active_within) may change.
    pub(super) fn next_change(
        &self,
        lead_time: SignedDuration,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let early = || {
            let start = self.next_start(now.checked_add(lead_time).ok()?)?;
            start.at.checked_sub(lead_time).ok()
        };
        let boundaries = [self.next_start(now), self.next_end(now)];
        let boundaries = boundaries.into_iter().flatten().map(|it| it.at);
        boundaries.chain(early()).min()
    }

    /// The name of its time zone in the spelling of the database: KEDA's names are case-sensitive.
    pub(crate) fn timezone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    pub(crate) const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub(crate) fn next_start(&self, now: Timestamp) -> Option<Occurrence> {
        self.start.next(now, &self.zone)
    }

    pub(crate) fn next_end(&self, now: Timestamp) -> Option<Occurrence> {
        self.end.next(now, &self.zone)
    }

    /// Start and end as expressions that KEDA reads alike.
    pub(crate) fn expressions(&self) -> (String, String) {
        (self.start.to_string(), self.end.to_string())
    }
}

/// The time zone of a name, from the database in the binary. It is the same on every node.
fn zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    (!zone.is_unknown()).then_some(zone)
}

/// Checks that starts and ends alternate. For others KEDA's rule makes no sense: they are active whenever an end is
/// next.
fn check_alternation(start: &Expression, end: &Expression) -> Result<(), (&'static str, Problem)> {
    let (mut next_start, mut next_end) = (start.first(), end.first());
    let mut last = None::<(&'static str, DateTime)>;
    for _ in 0..CHECKED_BOUNDARIES {
        let (Some(starts), Some(ends)) = (next_start, next_end) else {
            break;
        };
        if starts == ends {
            return Err(("end", Problem::SameTime(ends)));
        }
        let (field, at) = if starts < ends {
            next_start = start.after(starts);
            ("start", starts)
        } else {
            next_end = end.after(ends);
            ("end", ends)
        };
        match last {
            Some((previous, first)) if previous == field => {
                return Err((field, Problem::NotAlternating { first, second: at }));
            }
            _ => last = Some((field, at)),
        }
    }
    Ok(())
}
