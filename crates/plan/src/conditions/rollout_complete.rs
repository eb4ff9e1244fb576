//! `RolloutComplete`: every pod is made from the present spec.

use k8s_openapi::api::apps::v1::Deployment;

use super::{Evidence, Finding, Reason, blocked::blocked};
use crate::{child::ChildKind, lookup::deployment_condition, replicas::asked_for};

pub(super) fn judge(evidence: &Evidence<'_>) -> Finding {
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
    match progress {
        Some("ProgressDeadlineExceeded") => Finding::no(
            Reason::ProgressDeadlineExceeded,
            "New pods don't become ready. The former ones go on serving where there are any; the other conditions say why.",
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
        _ => Finding::no(
            Reason::RollingOut,
            "Pods of the present spec are taking over.",
        ),
    }
}

fn only_new_pods(deployment: &Deployment) -> bool {
    deployment
        .status
        .as_ref()
        .is_some_and(|status| status.replicas == status.updated_replicas)
}
