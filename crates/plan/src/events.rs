//! What is worth telling about a new status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use springtide_api::{ModelServiceStatus, status::condition};

/// Something worth telling about a ModelService, to be recorded as a Kubernetes Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// How bad it is.
    pub severity: Severity,
    /// The condition that changed: what the event's `action` is about.
    pub condition: String,
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

/// What is worth telling about `current`, which comes after `previous`: each condition that has
/// become true after it was anything else, and each that is false for a new reason. The summary
/// `Ready` is told only when it becomes true: when it is false, another condition says why.
#[must_use]
pub fn events(previous: Option<&ModelServiceStatus>, current: &ModelServiceStatus) -> Vec<Event> {
    let before = |kind: &str| {
        previous?
            .conditions
            .iter()
            .find(|condition| condition.type_ == kind)
    };
    current
        .conditions
        .iter()
        .filter_map(|now| {
            let before = before(&now.type_);
            let severity = severity(before, now)?;
            Some(Event {
                severity,
                condition: now.type_.clone(),
                reason: now.reason.clone(),
                message: now.message.clone(),
            })
        })
        .collect()
}

/// Reasons of what is under way and ends by itself: worth telling, nothing to worry about.
const PROGRESS: [&str; 3] = ["Starting", "RollingOut", "SwitchingAutoscaler"];

fn severity(before: Option<&Condition>, now: &Condition) -> Option<Severity> {
    let was = |status: &str| before.is_some_and(|before| before.status == status);
    let same_reason = before.is_some_and(|before| before.reason == now.reason);
    match now.status.as_str() {
        "True" if !was("True") => Some(Severity::Normal),
        "False" if now.type_ != condition::READY && !(was("False") && same_reason) => {
            Some(if PROGRESS.contains(&now.reason.as_str()) {
                Severity::Normal
            } else {
                Severity::Warning
            })
        }
        _ => None,
    }
}
