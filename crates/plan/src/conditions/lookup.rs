//! Conditions of other objects, by type.

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentCondition},
    autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition},
};

pub(super) fn deployment_condition<'a>(
    deployment: &'a Deployment,
    kind: &str,
) -> Option<&'a DeploymentCondition> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

pub(super) fn hpa_condition<'a>(
    hpa: &'a HorizontalPodAutoscaler,
    kind: &str,
) -> Option<&'a HorizontalPodAutoscalerCondition> {
    let conditions = hpa.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}
