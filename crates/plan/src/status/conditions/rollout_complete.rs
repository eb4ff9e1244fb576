//! `RolloutComplete`: every pod is made from the present spec.

use k8s_openapi::api::apps::v1::Deployment;

use super::{ConditionResult, ConditionStatus, Reason, StatusContext, blocked::blocked};
use crate::{
    child::ChildKind,
    observed::foreign_status::{
        has_only_new_pods, is_paused, is_seen, progress, spec_replicas, was_rolled_out,
    },
    resources::rollout::{Pace, lacks_room, pace},
    upgrades::Wait,
};

pub(super) fn evaluate(context: &StatusContext<'_>) -> ConditionResult {
    let result = rollout(context);
    let Some(wait) = &context.desired.held else {
        return result;
    };
    let reason = match result.status {
        ConditionStatus::True => Reason::UpgradeWaiting.into(),
        ConditionStatus::False | ConditionStatus::Unknown => result.reason,
    };
    ConditionResult {
        reason,
        message: format!("{} {}", result.message, waiting(wait)),
        status: result.status,
    }
}

/// What an upgrade waits for, and how not to wait. Neither times nor numbers that change as others go: each would
/// change every status.
fn waiting(wait: &Wait<String>) -> String {
    match wait {
        Wait::Turn => {
            "Pods as this version of the operator makes them wait for their turn: upgrade.maxConcurrent of the chart limits how many ModelServices are upgraded at a time.".to_owned()
        }
        Wait::Unavailable => {
            "Pods as this version of the operator makes them wait until all pods are available. A change of the spec brings them at once.".to_owned()
        }
        Wait::Paused => {
            "Pods as this version of the operator makes them wait until the Deployment is resumed.".to_owned()
        }
        Wait::Failure(other) => format!(
            "Pods as this version of the operator makes them wait since the upgrade of {other} has failed: mend that one, or set upgrade.pauseOnFailure of the chart to false."
        ),
    }
}

fn rollout(context: &StatusContext<'_>) -> ConditionResult {
    if let Some(result) = blocked(context, ChildKind::Deployment) {
        return result;
    }
    let Some(deployment) = &context.observed.deployment else {
        return ConditionResult::unknown(Reason::RollingOut, "The Deployment is being made.");
    };
    let scaling = context.model_service.scaling();
    let least = scaling.min_replicas();
    if is_paused(deployment) {
        return paused(context, deployment);
    }
    match progress(deployment) {
        Some("ProgressDeadlineExceeded") => ConditionResult::no(
            Reason::ProgressDeadlineExceeded,
            format!(
                "New pods don't become ready. The former ones go on serving where there are any; the other conditions say why.{}",
                room(context)
            ),
        ),
        // Also until the first number of pods is applied: a first start isn't over before all of them
        // are available.
        _ if spec_replicas(deployment) < Some(least) => ConditionResult::no(
            Reason::RollingOut,
            format!(
                "The Deployment isn't asked for as many pods as {} yet.",
                scaling.min_replicas_field()
            ),
        ),
        // The Deployment controller says so once all pods are new and available, and goes on saying
        // so while an autoscaler changes their number.
        Some("NewReplicaSetAvailable") if has_only_new_pods(deployment) => {
            ConditionResult::yes(Reason::Complete, "Every pod is made from the present spec.")
        }
        _ if pace(context.model_service, context.observed) == Pace::OneAtATime => {
            ConditionResult::no(
                Reason::OnePodAtATime,
                "There is no room for new pods beside the former ones, so that pods of the present spec take over one at a time. spec.rollout decides otherwise.",
            )
        }
        _ => ConditionResult::no(
            Reason::RollingOut,
            format!("Pods of the present spec are taking over.{}", room(context)),
        ),
    }
}

/// What to do where the spec keeps former pods that are in the way of the new ones.
fn room(context: &StatusContext<'_>) -> &'static str {
    let is_kept = context.model_service.rollout().keeps_every_pod();
    if is_kept && lacks_room(context.observed) {
        " There is no room for new pods beside the former ones: spec.rollout.maxUnavailable of 1 or more lets former ones go first."
    } else {
        ""
    }
}

/// The Deployment controller tells of no progress while it is paused, but counts pods, and an autoscaler goes on
/// changing their number.
fn paused(context: &StatusContext<'_>, deployment: &Deployment) -> ConditionResult {
    let name = context.model_service.name();
    let resume = format!("`kubectl rollout resume deployment {name}`");
    let least = context.model_service.scaling().min_replicas();
    let generation = context.model_service.generation();
    let is_done = is_seen(deployment)
        && spec_replicas(deployment) >= Some(least)
        && has_only_new_pods(deployment)
        && (was_rolled_out(context.previous, generation) || all_available(deployment));
    if is_done {
        return ConditionResult::yes(
            Reason::Complete,
            format!(
                "Every pod is made from the present spec. The Deployment is paused: a change of the spec reaches no pod before {resume}."
            ),
        );
    }
    ConditionResult::no(
        Reason::Paused,
        format!(
            "The Deployment is paused, so that no pod is made from the present spec in the place of a former one. Resume it: {resume}."
        ),
    )
}

fn all_available(deployment: &Deployment) -> bool {
    deployment
        .status
        .as_ref()
        .is_some_and(|status| status.replicas == status.available_replicas)
}
