//! What keeps an object of a ModelService from being as it should be.

use super::{Evidence, Finding, Reason, due::deletion_due};
use crate::{child::ChildKind, desired::ownership::controller};

/// Why an object could not be applied.
pub(super) fn blocked(evidence: &Evidence<'_>, kind: ChildKind) -> Option<Finding> {
    if evidence.desired.name_taken.contains(&kind) {
        return Some(held(evidence, kind).unwrap_or_else(|| name_taken(evidence, kind)));
    }
    let failure = evidence.outcome.failures.get(&kind)?;
    Some(Finding::no(
        failure.reason.clone(),
        format!("{kind}: {}", failure.message),
    ))
}

fn name_taken(evidence: &Evidence<'_>, kind: ChildKind) -> Finding {
    let name = evidence.model_service.name();
    let metadata = evidence.observed.metadata(kind);
    let owner = metadata.and_then(controller).map_or_else(
        || "somebody else".to_owned(),
        |owner| format!("{} {}", owner.kind, owner.name),
    );
    let is_going = metadata.is_some_and(|metadata| metadata.deletion_timestamp.is_some());
    let remedy = if is_going {
        "It is being deleted: the operator goes on once it is gone."
    } else {
        "Delete it, or give the ModelService another name."
    };
    Finding::no(
        Reason::NameTaken,
        format!("{kind} {name} exists and belongs to {owner}. {remedy}"),
    )
}

/// A deletion that somebody's finalizer holds up for longer than it may take.
pub(super) fn held(evidence: &Evidence<'_>, kind: ChildKind) -> Option<Finding> {
    let metadata = evidence.observed.metadata(kind)?;
    let holders = metadata.finalizers.as_ref()?.join(", ");
    if evidence.now < deletion_due(metadata)? {
        return None;
    }
    let name = evidence.model_service.name();
    let remedy = match kind {
        ChildKind::ScaledObject => format!(
            "Check that KEDA's operator runs. If KEDA is gone for good: `kubectl patch scaledobject {name} --type merge --patch '{{\"metadata\":{{\"finalizers\":null}}}}'`."
        ),
        _ => "Check that the controller which sets the finalizer runs.".to_owned(),
    };
    Some(Finding::no(
        Reason::HeldByFinalizer,
        format!("{kind} {name} is deleted and still held by a finalizer ({holders}). {remedy}"),
    ))
}
