//! `RolloutComplete`: all pods run the current spec.

use k8s_openapi::api::apps::v1::Deployment;

use super::{ConditionResult, ConditionStatus, Reason, StatusContext, blocked::blocked};
use crate::{
    child::ChildKind,
    observed::foreign_status::{
        has_only_new_pods, is_observed, is_paused, progressing_reason, spec_replicas,
        was_rolled_out,
    },
    resources::rollout::{RolloutMode, lacks_room, rollout_mode},
    upgrades::WaitReason,
};

pub(super) fn evaluate(context: &StatusContext<'_>) -> ConditionResult {
    let result = rollout(context);
    let Some(wait) = &context.desired.upgrade_wait else {
        return result;
    };
    let reason = match result.status {
        ConditionStatus::True => Reason::UpgradeWaiting.into(),
        ConditionStatus::False | ConditionStatus::Unknown => result.reason,
    };
    ConditionResult {
        reason,
        message: format!("{} {}", result.message, upgrade_message(wait)),
        status: result.status,
    }
}

/// What an upgrade waits for, and how to avoid the wait. It has no times and no counts of other ModelServices, which
/// would change every status.
fn upgrade_message(wait: &WaitReason<String>) -> String {
    match wait {
        WaitReason::Turn => {
            "The upgrade of the pods to this version of the operator waits for its turn. upgrade.maxConcurrent of the chart limits concurrent upgrades.".to_owned()
        }
        WaitReason::Unavailable => {
            "The upgrade of the pods to this version of the operator waits until all pods are available. To upgrade at once, change the spec.".to_owned()
        }
        WaitReason::Paused => {
            "The upgrade of the pods to this version of the operator waits until the Deployment is resumed.".to_owned()
        }
        WaitReason::Failure(other) => format!(
            "The upgrade of the pods to this version of the operator waits because the upgrade of {other} failed. Fix {other}, or set upgrade.pauseOnFailure of the chart to false."
        ),
    }
}

fn rollout(context: &StatusContext<'_>) -> ConditionResult {
    if let Some(result) = blocked(context, ChildKind::Deployment) {
        return result;
    }
    let Some(deployment) = &context.observed.deployment else {
        return ConditionResult::unknown(Reason::RollingOut, "The Deployment is being created.");
    };
    let scaling = context.model_service.scaling();
    let min_replicas = scaling.min_replicas();
    if is_paused(deployment) {
        return paused(context, deployment);
    }
    match progressing_reason(deployment) {
        Some("ProgressDeadlineExceeded") => ConditionResult::no(
            Reason::ProgressDeadlineExceeded,
            format!(
                "New pods don't become ready. Previous pods, if any, continue to serve. See the other conditions for the cause.{}",
                room_message(context)
            ),
        ),
        // Also before the initial replicas are applied: a first rollout is complete when all of them are available.
        _ if spec_replicas(deployment) < Some(min_replicas) => ConditionResult::no(
            Reason::RollingOut,
            format!(
                "The replicas of the Deployment are still below {}.",
                scaling.min_replicas_field()
            ),
        ),
        // The Deployment controller sets this reason once all pods are new and available, and keeps it while an
        // autoscaler scales.
        Some("NewReplicaSetAvailable") if has_only_new_pods(deployment) => {
            ConditionResult::yes(Reason::Complete, "All pods run the current spec.")
        }
        _ if rollout_mode(context.model_service, context.observed) == RolloutMode::OneAtATime => {
            ConditionResult::no(
                Reason::OnePodAtATime,
                "There is no room for new pods beside the previous ones, so pods are replaced one at a time. To change that, set spec.rollout.",
            )
        }
        _ => ConditionResult::no(
            Reason::RollingOut,
            format!(
                "New pods are replacing the previous ones.{}",
                room_message(context)
            ),
        ),
    }
}

/// The remedy if the spec keeps previous pods that occupy the room of the new ones.
fn room_message(context: &StatusContext<'_>) -> &'static str {
    let is_kept = context.model_service.rollout().keeps_every_pod();
    if is_kept && lacks_room(context.observed) {
        " There is no room for new pods beside the previous ones. To remove previous pods first, set spec.rollout.maxUnavailable to 1 or more."
    } else {
        ""
    }
}

/// The Deployment controller reports no progress while the Deployment is paused. But it counts pods, and an autoscaler
/// still scales.
fn paused(context: &StatusContext<'_>, deployment: &Deployment) -> ConditionResult {
    let name = context.model_service.name();
    let resume = format!("`kubectl rollout resume deployment {name}`");
    let min_replicas = context.model_service.scaling().min_replicas();
    let generation = context.model_service.generation();
    let is_done = is_observed(deployment)
        && spec_replicas(deployment) >= Some(min_replicas)
        && has_only_new_pods(deployment)
        && (was_rolled_out(context.previous, generation) || all_available(deployment));
    if is_done {
        return ConditionResult::yes(
            Reason::Complete,
            format!(
                "All pods run the current spec. The Deployment is paused. To roll out later changes, run {resume}."
            ),
        );
    }
    ConditionResult::no(
        Reason::Paused,
        format!(
            "The Deployment is paused, so the current spec isn't rolled out. To resume it, run {resume}."
        ),
    )
}

fn all_available(deployment: &Deployment) -> bool {
    deployment
        .status
        .as_ref()
        .is_some_and(|status| status.replicas == status.available_replicas)
}
