//! What is worth telling about a new status.

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

/// The action of events about decisions. Each is news, also where it has the reason of the one before.
pub const SCALE: &str = "Scale";

/// Something worth telling about a ModelService, to be recorded as a Kubernetes Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: the type of the condition that changed, or [`SCALE`] for a decision.
    pub action: String,
    /// Why, as a stable name.
    pub reason: String,
    /// Why and what to do, for people.
    pub message: String,
}

/// How bad an [`Event`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Somebody may have to do something.
    Warning,
}

/// What is worth telling about `current`, which comes after `previous`: each new decision, oldest
/// first, each condition that has become true after it was anything else, and each that is false for a
/// new reason. The summary `Ready` is told when it becomes true, or false for a spec that makes no sense: else
/// another condition says why. What a new ModelService begins
/// with is one event, whatever says so: the first decision or else the first condition, unless something is wrong.
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

/// Reasons of what is under way and ends by itself: worth telling, nothing to worry about.
const PROGRESS: [&str; 3] = [
    Reason::Starting.as_str(),
    Reason::RollingOut.as_str(),
    Reason::SwitchingAutoscaler.as_str(),
];

/// Reasons of `Ready` that no other condition has.
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
