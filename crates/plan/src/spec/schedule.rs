//! Schedules: recurring time windows with higher minimum replicas.
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
use crate::spec::{Invalid, within};

/// The field of the schedules.
const FIELD: &str = "spec.autoscaling.schedules";

/// The schedules of a ModelService. Of several active ones, the highest minimum applies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedules(Vec<Schedule>);

impl Schedules {
    pub(crate) fn parse(specs: &[Spec], max_replicas: i32) -> Result<Self, Invalid> {
        let wrong = |field: String, problem| Invalid::from(InvalidSchedule { field, problem });
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

    /// All schedules, in the order of the spec.
    pub fn iter(&self) -> impl Iterator<Item = &Schedule> {
        self.0.iter()
    }

    /// The highest minimum of the schedules that are active or start within `lead_time`. `None` if there are none.
    #[must_use]
    pub fn min_replicas(&self, lead_time: SignedDuration, now: Timestamp) -> Option<i32> {
        self.iter()
            .filter(|schedule| schedule.is_active_within(lead_time, now))
            .map(Schedule::min_replicas)
            .max()
    }

    /// The next time at which [`min_replicas`](Self::min_replicas) with the same `lead_time` may change. Until then it
    /// doesn't.
    #[must_use]
    pub fn next_change(&self, lead_time: SignedDuration, now: Timestamp) -> Option<Timestamp> {
        self.iter()
            .filter_map(|schedule| schedule.next_change(lead_time, now))
            .min()
    }
}
