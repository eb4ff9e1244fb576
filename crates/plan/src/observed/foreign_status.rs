//! Conditions and fields of other controllers' objects.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentCondition},
        autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition},
        core::v1::{Pod, PodCondition},
    },
    apimachinery::pkg::apis::meta::v1::{Condition, ManagedFieldsEntry},
};
use springtide_api::{ModelServiceStatus, status::condition};

/// A condition of a ModelService.
pub(crate) fn status_condition<'a>(
    status: &'a ModelServiceStatus,
    kind: &str,
) -> Option<&'a Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == kind)
}

/// Whether a status says that the rollout of this generation is complete.
pub(crate) fn was_rolled_out(status: Option<&ModelServiceStatus>, generation: i64) -> bool {
    let known = status.and_then(|status| status_condition(status, condition::ROLLOUT_COMPLETE));
    known.is_some_and(|known| {
        known.status == "True" && known.observed_generation == Some(generation)
    })
}

pub(crate) fn pod_condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

pub(crate) fn deployment_condition<'a>(
    deployment: &'a Deployment,
    kind: &str,
) -> Option<&'a DeploymentCondition> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the Deployment controller has observed the current generation.
pub(crate) fn is_observed(deployment: &Deployment) -> bool {
    let status = deployment.status.as_ref();
    status.and_then(|status| status.observed_generation) >= deployment.metadata.generation
}

/// The progress of the current generation's rollout: the Deployment controller's reason.
pub(crate) fn progressing_reason(deployment: &Deployment) -> Option<&str> {
    let progressing = deployment_condition(deployment, "Progressing")?;
    progressing
        .reason
        .as_deref()
        .filter(|_| is_observed(deployment))
}

/// Whether the Deployment is paused (`kubectl rollout pause`).
pub(crate) fn is_paused(deployment: &Deployment) -> bool {
    let spec = deployment.spec.as_ref();
    spec.is_some_and(|spec| spec.paused == Some(true))
}

/// Whether all pods have the current template.
pub(crate) fn has_only_new_pods(deployment: &Deployment) -> bool {
    let status = deployment.status.as_ref();
    status.is_some_and(|status| status.replicas == status.updated_replicas)
}

pub(crate) fn hpa_condition<'a>(
    hpa: &'a HorizontalPodAutoscaler,
    kind: &str,
) -> Option<&'a HorizontalPodAutoscalerCondition> {
    let conditions = hpa.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Reasons of a false `ScalingActive` that aren't about readings: the HPA doesn't scale at all.
pub(crate) const HPA_DISABLED_REASONS: [&str; 3] =
    ["ScalingDisabled", "AmbiguousSelector", "InvalidSelector"];

/// Why the HPA doesn't scale at all, whatever its metrics.
pub(crate) fn hpa_disabled_reason(hpa: &HorizontalPodAutoscaler) -> Option<&str> {
    hpa_condition(hpa, "ScalingActive")
        .filter(|active| active.status == "False")?
        .reason
        .as_deref()
        .filter(|reason| HPA_DISABLED_REASONS.contains(reason))
}

/// `spec.replicas` of the Deployment.
pub(crate) fn spec_replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref().and_then(|spec| spec.replicas)
}

/// Whether a field manager owns `spec.replicas`.
pub(crate) fn owns_replicas(entry: &ManagedFieldsEntry) -> bool {
    entry
        .fields_v1
        .as_ref()
        .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}
