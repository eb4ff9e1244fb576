//! `RolloutComplete`: every pod is made from the present spec.

use k8s_openapi::api::apps::v1::Deployment;

use springtide_api::status::condition;

use super::{Evidence, Finding, Reason, Truth, blocked::blocked};
use crate::{
    child::ChildKind,
    lookup::deployment_condition,
    replicas::asked_for,
    rollout::{Pace, lacks_room, pace},
    upgrades::Wait,
};

pub(super) fn judge(evidence: &Evidence<'_>) -> Finding {
    let finding = rollout(evidence);
    let Some(wait) = &evidence.desired.held else {
        return finding;
    };
    let reason = match finding.truth {
        Truth::True => Reason::UpgradeWaiting.into(),
        Truth::False | Truth::Unknown => finding.reason,
    };
    Finding {
        reason,
        message: format!("{} {}", finding.message, waiting(wait)),
        truth: finding.truth,
    }
}

/// What an upgrade waits for, and how not to wait. Neither times nor numbers that change as others go: each would
/// change every status.
fn waiting(wait: &Wait<String>) -> String {
    match wait {
        Wait::Turn => {
            "Pods as this version of the operator makes them wait for their turn: so many ModelServices are upgraded at a time as upgrade.maxConcurrent of the chart says.".to_owned()
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

fn rollout(evidence: &Evidence<'_>) -> Finding {
    if let Some(finding) = blocked(evidence, ChildKind::Deployment) {
        return finding;
    }
    let Some(deployment) = &evidence.observed.deployment else {
        return Finding::unknown(Reason::RollingOut, "The Deployment is being made.");
    };
    let scaling = evidence.model_service.scaling();
    let least = scaling.least_pods();
    let status = deployment.status.as_ref();
    let is_seen =
        status.and_then(|status| status.observed_generation) >= deployment.metadata.generation;
    let progress = deployment_condition(deployment, "Progressing")
        .filter(|_| is_seen)
        .and_then(|progressing| progressing.reason.as_deref());
    if is_paused(deployment) {
        return paused(evidence, deployment, is_seen);
    }
    match progress {
        Some("ProgressDeadlineExceeded") => Finding::no(
            Reason::ProgressDeadlineExceeded,
            format!(
                "New pods don't become ready. The former ones go on serving where there are any; the other conditions say why.{}",
                room(evidence)
            ),
        ),
        // Also until the first number of pods is applied: a first start isn't over before all of them
        // are available.
        _ if asked_for(deployment) < Some(least) => Finding::no(
            Reason::RollingOut,
            format!(
                "The Deployment isn't asked for as many pods as {} yet.",
                scaling.least_pods_field()
            ),
        ),
        // The Deployment controller says so once all pods are new and available, and goes on saying
        // so while an autoscaler changes their number.
        Some("NewReplicaSetAvailable") if only_new_pods(deployment) => {
            Finding::yes(Reason::Complete, "Every pod is made from the present spec.")
        }
        _ if pace(evidence.model_service, evidence.observed) == Pace::OneAtATime => Finding::no(
            Reason::OnePodAtATime,
            "There is no room for new pods beside the former ones, so that pods of the present spec take over one at a time. spec.rollout decides otherwise.",
        ),
        _ => Finding::no(
            Reason::RollingOut,
            format!(
                "Pods of the present spec are taking over.{}",
                room(evidence)
            ),
        ),
    }
}

/// What to do where the spec keeps former pods that are in the way of the new ones.
fn room(evidence: &Evidence<'_>) -> &'static str {
    let is_kept = evidence.model_service.rollout().keeps_every_pod();
    if is_kept && lacks_room(evidence.observed) {
        " There is no room for new pods beside the former ones: spec.rollout.maxUnavailable of 1 or more lets former ones go first."
    } else {
        ""
    }
}

/// Whether somebody has told the Deployment controller to leave the pods as they are (`kubectl rollout pause`).
fn is_paused(deployment: &Deployment) -> bool {
    deployment
        .spec
        .as_ref()
        .is_some_and(|spec| spec.paused == Some(true))
}

/// The Deployment controller tells of no progress while it is paused, but counts pods, and an autoscaler goes on
/// changing their number.
fn paused(evidence: &Evidence<'_>, deployment: &Deployment, is_seen: bool) -> Finding {
    let name = evidence.model_service.name();
    let resume = format!("`kubectl rollout resume deployment {name}`");
    let least = evidence.model_service.scaling().least_pods();
    let is_done = is_seen
        && asked_for(deployment) >= Some(least)
        && only_new_pods(deployment)
        && (was_complete(evidence) || all_available(deployment));
    if is_done {
        return Finding::yes(
            Reason::Complete,
            format!(
                "Every pod is made from the present spec. The Deployment is paused: a change of the spec reaches no pod before {resume}."
            ),
        );
    }
    Finding::no(
        Reason::Paused,
        format!(
            "The Deployment is paused, so that no pod is made from the present spec in the place of a former one. Resume it: {resume}."
        ),
    )
}

/// Whether the rollout of the present spec was known to be over before.
fn was_complete(evidence: &Evidence<'_>) -> bool {
    let known = evidence.previous.and_then(|previous| {
        let mut conditions = previous.conditions.iter();
        conditions.find(|known| known.type_ == condition::ROLLOUT_COMPLETE)
    });
    known.is_some_and(|known| {
        known.status == Truth::True.as_str()
            && known.observed_generation == Some(evidence.model_service.generation())
    })
}

fn all_available(deployment: &Deployment) -> bool {
    deployment
        .status
        .as_ref()
        .is_some_and(|status| status.replicas == status.available_replicas)
}

fn only_new_pods(deployment: &Deployment) -> bool {
    deployment
        .status
        .as_ref()
        .is_some_and(|status| status.replicas == status.updated_replicas)
}
