//! Schedules: times, coming again and again, in which there are more pods at least.
//!
//! See `docs/adr/0014-schedules.md`.

mod expression;
mod invalid;
mod timetable;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use springtide_api::schedule::Schedule as Spec;

pub(crate) use self::expression::Occurrence;
pub use self::{
    expression::InvalidExpression,
    invalid::{InvalidSchedule, Problem},
    timetable::Schedule,
};
use crate::{
    behavior::CompleteBehavior,
    engine::{Following, Resolved},
    validated::{Invalid, within},
};

/// The field that they stand in.
const FIELD: &str = "spec.autoscaling.schedules";

/// Most schedules of a ModelService: the bound of the schema.
const MOST_SCHEDULES: usize = 16;

/// Time between two looks of an HPA: the default of kube-controller-manager's
/// `--horizontal-pod-autoscaler-sync-period`.
const SYNC_PERIOD: SignedDuration = SignedDuration::from_secs(15);

/// The schedules of a ModelService. Where several hold, the highest counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedules(Vec<Schedule>);

impl Schedules {
    pub(crate) fn parse(specs: &[Spec], max_replicas: i32) -> Result<Self, Invalid> {
        let wrong = |field: String, problem| Invalid::from(InvalidSchedule { field, problem });
        if specs.len() > MOST_SCHEDULES {
            return Err(wrong(FIELD.to_owned(), Problem::TooMany));
        }
        let mut names = BTreeSet::new();
        let parse = |(index, spec): (usize, &Spec)| {
            let field = |name| format!("{FIELD}[{index}].{name}");
            if !names.insert(spec.name.clone()) {
                return Err(wrong(field("name"), Problem::NameTaken));
            }
            within(&field("minReplicas"), spec.min_replicas, 1, max_replicas)?;
            Schedule::parse(spec).map_err(|(name, problem)| wrong(field(name), problem))
        };
        let schedules = specs.iter().enumerate().map(parse);
        Ok(Self(schedules.collect::<Result<_, _>>()?))
    }

    /// All of them, in the order of the spec.
    pub fn iter(&self) -> impl Iterator<Item = &Schedule> {
        self.0.iter()
    }

    /// Fewest pods by the schedules that hold, or will within `ahead`. Nothing where none does.
    #[must_use]
    pub fn floor(&self, ahead: SignedDuration, now: Timestamp) -> Option<i32> {
        self.iter()
            .filter(|schedule| schedule.holds_within(ahead, now))
            .map(Schedule::min_replicas)
            .max()
    }

    /// The next moment at which [`floor`](Self::floor) with the same `ahead` may change: until then, it
    /// doesn't.
    #[must_use]
    pub fn next_change(&self, ahead: SignedDuration, now: Timestamp) -> Option<Timestamp> {
        self.iter()
            .filter_map(|schedule| schedule.next_change(ahead, now))
            .min()
    }
}

impl Resolved<'_> {
    /// Fewest pods now: with an autoscaler, schedules count.
    #[must_use]
    pub fn min_replicas(&self, now: Timestamp) -> i32 {
        match self {
            Self::Fixed { replicas } => *replicas,
            Self::Hpa(Following { pods, .. }) | Self::Keda(Following { pods, .. }) => {
                let floor = pods.schedules.floor(self.ahead(), now);
                floor.unwrap_or_default().max(pods.min_replicas)
            }
        }
    }

    /// The next moment at which a plan may differ because of the time alone.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Fixed { .. } => None,
            Self::Hpa(Following { pods, .. }) | Self::Keda(Following { pods, .. }) => {
                pods.schedules.next_change(self.ahead(), now)
            }
        }
    }

    /// How long before its time a floor is put in force. KEDA's triggers work on time: they are metrics
    /// beside the others and delay none.
    fn ahead(&self) -> SignedDuration {
        match self {
            Self::Fixed { .. } | Self::Keda(_) => SignedDuration::ZERO,
            Self::Hpa(following) => lead(&following.pods.behavior),
        }
    }
}

/// How long before its time a floor is put into an HPA's `minReplicas`.
///
/// An HPA that has fewer pods than its minimum lifts them to it, reads no metric in that look, and
/// counts the new pods towards what its policies let it add. The first is over after one look, so that
/// the next, one later, follows the metrics again; the second after the longest of the policies'
/// periods. Thus nothing of it is left when the schedule begins.
fn lead(behavior: &CompleteBehavior) -> SignedDuration {
    let periods = behavior.scale_up.policies.iter();
    let longest = periods.map(|policy| policy.period_seconds).max();
    let longest = SignedDuration::from_secs(longest.unwrap_or_default().into());
    SYNC_PERIOD + longest.max(SYNC_PERIOD)
}
