//! What other controllers say about their objects, by the type of the condition.

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentCondition},
    autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition},
};

pub(crate) fn deployment_condition<'a>(
    deployment: &'a Deployment,
    kind: &str,
) -> Option<&'a DeploymentCondition> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

pub(crate) fn hpa_condition<'a>(
    hpa: &'a HorizontalPodAutoscaler,
    kind: &str,
) -> Option<&'a HorizontalPodAutoscalerCondition> {
    let conditions = hpa.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Reasons of a false `ScalingActive` that aren't about readings: the HPA doesn't scale at all.
pub(crate) const OFF: [&str; 3] = ["ScalingDisabled", "AmbiguousSelector", "InvalidSelector"];

/// Why the HPA doesn't scale at all, whatever its metrics say.
pub(crate) fn hpa_off(hpa: &HorizontalPodAutoscaler) -> Option<&str> {
    hpa_condition(hpa, "ScalingActive")
        .filter(|active| active.status == "False")?
        .reason
        .as_deref()
        .filter(|reason| OFF.contains(reason))
}
