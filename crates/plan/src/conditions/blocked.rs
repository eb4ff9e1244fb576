//! What keeps an object of a ModelService from being as it should be.

use super::{Evidence, Finding, Reason};
use crate::child::ChildKind;

/// Why an object could not be applied.
pub(super) fn blocked(evidence: &Evidence<'_>, kind: ChildKind) -> Option<Finding> {
    if evidence.desired.name_taken.contains(&kind) {
        let name = evidence.model_service.name();
        return Some(Finding::no(
            Reason::NameTaken,
            format!(
                "{kind} {name} exists and belongs to somebody else. Delete it, or give the ModelService another name."
            ),
        ));
    }
    let failure = evidence.outcome.failures.get(&kind)?;
    Some(Finding::no(
        failure.reason.clone(),
        format!("{kind}: {}", failure.message),
    ))
}
