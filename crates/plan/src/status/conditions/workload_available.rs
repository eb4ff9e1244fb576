//! `WorkloadAvailable`: at least one pod is ready, so that requests are served, possibly with a previous spec.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerStatus, Pod},
};

use super::{ConditionResult, Reason, StatusContext, blocked::blocked, disruption, pod_rejection};
use crate::{
    child::ChildKind,
    observed::{
        foreign_status::{deployment_condition, pod_condition, spec_replicas},
        pod_startup::{self, StartupFailure, stuck_pod_uid},
        pods,
    },
    spec::Scaling,
};

/// Waiting reasons of containers that rarely resolve themselves.
const IMAGE_FAULTS: [&str; 5] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
];

pub(super) fn evaluate(context: &StatusContext<'_>) -> ConditionResult {
    let kinds = [
        ChildKind::Deployment,
        ChildKind::Service,
        ChildKind::PodDisruptionBudget,
    ];
    if let Some(result) = kinds.into_iter().find_map(|kind| blocked(context, kind)) {
        return result;
    }
    let Some(deployment) = &context.observed.deployment else {
        return ConditionResult::unknown(Reason::Starting, "The Deployment is being created.");
    };
    let scaling = context.model_service.scaling();
    let replicas = spec_replicas(deployment).unwrap_or(1);
    if replicas == 0 {
        return ConditionResult::no(Reason::NoReplicas, no_replicas_message(scaling));
    }
    let available = deployment
        .status
        .as_ref()
        .and_then(|status| status.available_replicas)
        .unwrap_or_default();
    let fault = rejected(deployment, context.model_service.name()).or_else(|| {
        pods::live(context.observed)
            .into_iter()
            .filter(|pod| !pods::is_serving(pod))
            .find_map(pod_fault)
            .or_else(|| startup_fault(context))
            .or_else(|| disruption::recent(context.observed, context.now))
    });
    if available == 0 {
        return fault
            .unwrap_or_else(|| ConditionResult::no(Reason::Starting, "No pod is ready yet."));
    }
    let other_pods = fault.map_or_else(String::new, |fault| {
        format!(" Other pods: {}", fault.message)
    });
    // Not the Deployment's replicas: a scale-up takes no availability away.
    if available >= scaling.min_replicas().min(replicas) {
        return ConditionResult::yes(
            Reason::Available,
            format!("The minimum number of pods is ready.{other_pods}"),
        );
    }
    ConditionResult::yes(
        Reason::PartlyAvailable,
        format!(
            "Fewer pods are ready than {}. Requests are served.{other_pods}",
            scaling.min_replicas_field()
        ),
    )
}

fn no_replicas_message(scaling: &Scaling) -> &'static str {
    match scaling {
        Scaling::Fixed { replicas: 0 } => "spec.replicas is 0: no pod serves the model.",
        _ => "The Deployment is scaled to 0, but not by the ModelService: no pod serves the model.",
    }
}

/// Pods that can't be created: a quota, a policy or a webhook rejects them.
fn rejected(deployment: &Deployment, name: &str) -> Option<ConditionResult> {
    let failure = deployment_condition(deployment, "ReplicaFailure")
        .filter(|condition| condition.status == "True")?;
    let message = failure
        .message
        .as_deref()
        .unwrap_or("The API server rejects the pods.");
    Some(ConditionResult::no(
        Reason::PodsRefused,
        pod_rejection::explain(message, name),
    ))
}

fn pod_fault(pod: &Pod) -> Option<ConditionResult> {
    unschedulable(pod).or_else(|| {
        [pods::fetch_status(pod), pods::server_status(pod)]
            .into_iter()
            .flatten()
            .find_map(container_fault)
    })
}

/// Why a pod can't start its first container, according to its events.
fn startup_fault(context: &StatusContext<'_>) -> Option<ConditionResult> {
    let StatusContext {
        model_service,
        observed,
        now,
        ..
    } = context;
    // Events of a pod that has made progress since don't count.
    stuck_pod_uid(observed, *now)?;
    Some(
        match pod_startup::startup_failure(model_service, &observed.events)? {
            StartupFailure::Volume(why) => ConditionResult::no(
                Reason::VolumeNotMounted,
                format!("A volume of the pods can't be mounted: {why}"),
            ),
            StartupFailure::Sandbox(why) => ConditionResult::no(
                Reason::ContainerNotStarted,
                format!("The node can't create the pod sandbox: {why}"),
            ),
        },
    )
}

fn unschedulable(pod: &Pod) -> Option<ConditionResult> {
    let scheduled =
        pod_condition(pod, "PodScheduled").filter(|scheduled| scheduled.status == "False")?;
    let message = scheduled.message.as_deref().unwrap_or("No node fits.");
    Some(ConditionResult::no(
        Reason::Unschedulable,
        format!("No node can run the pods: {message}"),
    ))
}

fn container_fault(status: &ContainerStatus) -> Option<ConditionResult> {
    let ContainerStatus { name, image, .. } = status;
    let blocked_on = status
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref()?.reason.as_deref());
    let last_exit = [status.state.as_ref(), status.last_state.as_ref()]
        .into_iter()
        .find_map(|state| state?.terminated.as_ref())
        .filter(|terminated| terminated.exit_code != 0);
    match (blocked_on, last_exit) {
        (Some(reason), _) if IMAGE_FAULTS.contains(&reason) => Some(ConditionResult::no(
            Reason::ImagePullFailed,
            format!(
                "The image {image} of container {name} can't be pulled. Check spec.server.image, spec.server.imagePullPolicy and spec.pod.imagePullSecrets."
            ),
        )),
        _ if let Some(missing) = pods::missing_object(status) => Some(ConditionResult::no(
            Reason::ContainerNotStarted,
            format!("Container {name} can't be started: {missing}."),
        )),
        // The kubelet's own message may contain the container's ID.
        (
            Some(
                reason @ ("CreateContainerConfigError"
                | "CreateContainerError"
                | "RunContainerError"),
            ),
            _,
        ) => Some(ConditionResult::no(
            Reason::ContainerNotStarted,
            format!("Container {name} can't be started ({reason}). See `kubectl describe pod`."),
        )),
        (_, Some(exit)) if exit.reason.as_deref() == Some("OOMKilled") => {
            Some(ConditionResult::no(
                Reason::OutOfMemory,
                format!(
                    "Container {name} exceeded its memory limit. Raise spec.server.resources.limits.memory."
                ),
            ))
        }
        (Some("CrashLoopBackOff"), exit) => {
            let exit_code = exit.map_or_else(String::new, |exit| {
                format!(" with exit code {}", exit.exit_code)
            });
            Some(ConditionResult::no(
                Reason::ContainerCrashing,
                format!("Container {name} crashes repeatedly{exit_code}. See its logs."),
            ))
        }
        _ => None,
    }
}
