//! Why an object of a ModelService isn't in its desired state.

use super::{ConditionResult, Reason, StatusContext, grace_period::deletion_deadline};
use crate::{child::ChildKind, desired::ownership::controller};

/// Why an object could not be applied.
pub(super) fn blocked(context: &StatusContext<'_>, kind: ChildKind) -> Option<ConditionResult> {
    if context.desired.name_conflicts.contains(&kind) {
        return Some(
            held_by_finalizer(context, kind).unwrap_or_else(|| name_conflict(context, kind)),
        );
    }
    let failure = context.applied.failure(kind)?;
    Some(ConditionResult::no(
        failure.reason.clone(),
        format!("{kind}: {}", failure.message),
    ))
}

fn name_conflict(context: &StatusContext<'_>, kind: ChildKind) -> ConditionResult {
    let name = context.model_service.name();
    let metadata = context.observed.metadata(kind);
    let owner = metadata.and_then(controller).map_or_else(
        || "isn't managed by the operator".to_owned(),
        |owner| format!("belongs to {} {}", owner.kind, owner.name),
    );
    let is_going = metadata.is_some_and(|metadata| metadata.deletion_timestamp.is_some());
    let remedy = if is_going {
        "It is being deleted. The operator continues once it no longer exists."
    } else {
        "Delete it, or give the ModelService another name."
    };
    ConditionResult::no(
        Reason::NameTaken,
        format!("{kind} {name} exists and {owner}. {remedy}"),
    )
}

/// A deletion that a finalizer delays for too long.
pub(super) fn held_by_finalizer(
    context: &StatusContext<'_>,
    kind: ChildKind,
) -> Option<ConditionResult> {
    let metadata = context.observed.metadata(kind)?;
    let holders = metadata.finalizers.as_ref()?.join(", ");
    if context.now < deletion_deadline(metadata)? {
        return None;
    }
    let name = context.model_service.name();
    let remedy = match kind {
        ChildKind::ScaledObject => format!(
            "Check that the KEDA operator runs. If KEDA was uninstalled, remove the finalizer: `kubectl patch scaledobject {name} --type merge --patch '{{\"metadata\":{{\"finalizers\":null}}}}'`."
        ),
        _ => "Check that the controller of the finalizer runs.".to_owned(),
    };
    Some(ConditionResult::no(
        Reason::HeldByFinalizer,
        format!("{kind} {name} is being deleted, but a finalizer holds it ({holders}). {remedy}"),
    ))
}
