//! `WorkloadAvailable`: enough pods are ready for requests to be served, be it with the former spec.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerStatus, Pod},
};

use super::{Evidence, Finding, blocked::blocked, lookup::deployment_condition, pods};
use crate::child::ChildKind;

/// Reasons for which a container waits that don't pass by themselves, or seldom.
const IMAGE_FAULTS: [&str; 5] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
];

pub(super) fn judge(evidence: &Evidence<'_>) -> Finding {
    let kinds = [
        ChildKind::Deployment,
        ChildKind::Service,
        ChildKind::PodDisruptionBudget,
    ];
    if let Some(finding) = kinds.into_iter().find_map(|kind| blocked(evidence, kind)) {
        return finding;
    }
    let Some(deployment) = &evidence.observed.deployment else {
        return Finding::unknown("Starting", "The Deployment is being made.");
    };
    if is_asked_for_none(deployment) {
        return Finding::no("NoReplicas", "spec.replicas is 0: nothing is served.");
    }
    if deployment_condition(deployment, "Available")
        .is_some_and(|available| available.status == "True")
    {
        return Finding::yes("Available", "Enough pods are ready to serve.");
    }
    let mut pods = evidence.observed.pods.iter().collect::<Vec<_>>();
    pods.sort_by_key(|pod| pod.metadata.name.as_deref());
    refused(deployment)
        .or_else(|| pods.into_iter().find_map(pod_fault))
        .unwrap_or_else(|| Finding::no("Starting", "Too few pods are ready yet."))
}

fn is_asked_for_none(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(0)
}

/// Pods that aren't even made: a quota, a policy or a webhook refuses them.
fn refused(deployment: &Deployment) -> Option<Finding> {
    let failure = deployment_condition(deployment, "ReplicaFailure")
        .filter(|condition| condition.status == "True")?;
    let message = failure
        .message
        .as_deref()
        .unwrap_or("The API server refuses the pods.");
    Some(Finding::no("PodsRefused", without_generated_names(message)))
}

/// The ReplicaSet controller puts the name of the pod that was refused before the cause, and that
/// name is another one each time.
fn without_generated_names(message: &str) -> &str {
    message
        .split_once(" is forbidden: ")
        .map_or(message, |(_, cause)| cause)
}

fn pod_fault(pod: &Pod) -> Option<Finding> {
    unschedulable(pod).or_else(|| {
        [pods::fetch(pod), pods::server(pod)]
            .into_iter()
            .flatten()
            .find_map(container_fault)
    })
}

fn unschedulable(pod: &Pod) -> Option<Finding> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let message = scheduled.message.as_deref().unwrap_or("No node fits.");
    Some(Finding::no(
        "Unschedulable",
        format!("No node takes the pods: {message}"),
    ))
}

fn container_fault(status: &ContainerStatus) -> Option<Finding> {
    let ContainerStatus { name, image, .. } = status;
    let waiting = status
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref());
    let waits_for = waiting.and_then(|waiting| waiting.reason.as_deref());
    let last_exit = [status.state.as_ref(), status.last_state.as_ref()]
        .into_iter()
        .find_map(|state| state?.terminated.as_ref())
        .filter(|terminated| terminated.exit_code != 0);
    match (waits_for, last_exit) {
        (Some(reason), _) if IMAGE_FAULTS.contains(&reason) => Some(Finding::no(
            "ImagePullFailed",
            format!(
                "The image {image} of container {name} can't be pulled. Check spec.server.image, imagePullPolicy and imagePullSecrets."
            ),
        )),
        (Some("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError"), _) => {
            let message = waiting
                .and_then(|waiting| waiting.message.as_deref())
                .unwrap_or_default();
            Some(Finding::no(
                "ContainerNotStarted",
                format!("Container {name} can't be started: {message}"),
            ))
        }
        (_, Some(exit)) if exit.reason.as_deref() == Some("OOMKilled") => Some(Finding::no(
            "OutOfMemory",
            format!(
                "Container {name} needs more memory than it may have. Raise spec.server.resources.limits.memory."
            ),
        )),
        (Some("CrashLoopBackOff"), exit) => {
            let exit_code = exit.map_or_else(String::new, |exit| {
                format!(" with exit code {}", exit.exit_code)
            });
            Some(Finding::no(
                "ContainerCrashing",
                format!("Container {name} fails again and again{exit_code}. Its logs say why."),
            ))
        }
        _ => None,
    }
}
