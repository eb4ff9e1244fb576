//! What keeps an object of a ModelService from being as it should be.

use super::{ConditionResult, Reason, StatusContext, grace_period::deletion_deadline};
use crate::{child::ChildKind, desired::ownership::controller};

/// Why an object could not be applied.
pub(super) fn blocked(context: &StatusContext<'_>, kind: ChildKind) -> Option<ConditionResult> {
    if context.desired.name_conflicts.contains(&kind) {
        return Some(held(context, kind).unwrap_or_else(|| name_conflicts(context, kind)));
    }
    let failure = context.applied.failure(kind)?;
    Some(ConditionResult::no(
        failure.reason.clone(),
        format!("{kind}: {}", failure.message),
    ))
}

fn name_conflicts(context: &StatusContext<'_>, kind: ChildKind) -> ConditionResult {
    let name = context.model_service.name();
    let metadata = context.observed.metadata(kind);
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
    ConditionResult::no(
        Reason::NameTaken,
        format!("{kind} {name} exists and belongs to {owner}. {remedy}"),
    )
}

/// A deletion that somebody's finalizer holds up for longer than it may take.
pub(super) fn held(context: &StatusContext<'_>, kind: ChildKind) -> Option<ConditionResult> {
    let metadata = context.observed.metadata(kind)?;
    let holders = metadata.finalizers.as_ref()?.join(", ");
    if context.now < deletion_deadline(metadata)? {
        return None;
    }
    let name = context.model_service.name();
    let remedy = match kind {
        ChildKind::ScaledObject => format!(
            "Check that KEDA's operator runs. If KEDA is gone for good: `kubectl patch scaledobject {name} --type merge --patch '{{\"metadata\":{{\"finalizers\":null}}}}'`."
        ),
        _ => "Check that the controller which sets the finalizer runs.".to_owned(),
    };
    Some(ConditionResult::no(
        Reason::HeldByFinalizer,
        format!("{kind} {name} is deleted and still held by a finalizer ({holders}). {remedy}"),
    ))
}
