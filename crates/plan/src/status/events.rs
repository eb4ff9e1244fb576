//! Events about changes of a status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use springtide_api::{
    ModelServiceStatus,
    status::{Decision, condition},
};

use crate::{
    observed::foreign_status::status_condition,
    spec::invalid::{INVALID_SPEC, UNREADABLE_SPEC},
    status::conditions::Reason,
};

/// The action of events about decisions. Each decision has an event, even if the reason repeats.
pub const SCALE: &str = "Scale";

/// A Kubernetes Event about a ModelService.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The type of the event.
    pub severity: Severity,
    /// The type of the condition that changed, or [`SCALE`] for a decision.
    pub action: String,
    /// The reason, a stable name.
    pub reason: String,
    /// The cause and the remedy.
    pub message: String,
}

/// The type of an [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// A normal change.
    Normal,
    /// A problem that may need an action.
    Warning,
}

/// The events for the change from `previous` to `current`.
///
/// Each new decision is an event, oldest first. So is each condition that becomes true, or false for a new reason.
/// `Ready` has an event only if it becomes true, or false for an invalid spec: otherwise another condition has the
/// cause. The start of a new ModelService is only one normal event: the first decision, or else the first condition.
#[must_use]
pub fn events(previous: Option<&ModelServiceStatus>, current: &ModelServiceStatus) -> Vec<Event> {
    let before = |kind: &str| status_condition(previous?, kind);
    let begins = previous.is_none_or(|previous| previous.conditions.is_empty());
    let mut is_told = begins && !decisions(current).is_empty();
    let changed = current.conditions.iter().filter_map(move |now| {
        let before = before(&now.type_);
        let severity = severity(before, now)?;
        let is_the_same = begins && severity == Severity::Normal;
        if is_the_same && std::mem::replace(&mut is_told, true) {
            return None;
        }
        Some(Event {
            severity,
            action: now.type_.clone(),
            reason: now.reason.clone(),
            message: now.message.clone(),
        })
    });
    let known = previous.map_or(&[][..], decisions);
    let decided = decisions(current)
        .iter()
        .rev()
        .filter(|decision| !known.contains(decision))
        .map(|decision| Event {
            severity: Severity::Normal,
            action: SCALE.to_owned(),
            reason: if decision.to > decision.from {
                "ScaledUp".to_owned()
            } else {
                "ScaledDown".to_owned()
            },
            message: decision.message.clone(),
        });
    decided.chain(changed).collect()
}

fn decisions(status: &ModelServiceStatus) -> &[Decision] {
    status
        .autoscaling
        .as_ref()
        .map_or(&[], |autoscaling| &autoscaling.decisions)
}

/// Reasons of temporary states, which are normal.
const PROGRESS: [&str; 3] = [
    Reason::Starting.as_str(),
    Reason::RollingOut.as_str(),
    Reason::SwitchingAutoscaler.as_str(),
];

/// Reasons of `Ready` that are events, because no other condition has them.
const OF_READY_ALONE: [&str; 2] = [INVALID_SPEC, UNREADABLE_SPEC];

fn severity(before: Option<&Condition>, now: &Condition) -> Option<Severity> {
    let was = |status: &str| before.is_some_and(|before| before.status == status);
    let same_reason = before.is_some_and(|before| before.reason == now.reason);
    let is_told_elsewhere =
        now.type_ == condition::READY && !OF_READY_ALONE.contains(&now.reason.as_str());
    match now.status.as_str() {
        "True" if !was("True") => Some(Severity::Normal),
        "False" if !(is_told_elsewhere || was("False") && same_reason) => {
            Some(if PROGRESS.contains(&now.reason.as_str()) {
                Severity::Normal
            } else {
                Severity::Warning
            })
        }
        _ => None,
    }
}
