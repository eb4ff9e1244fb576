//! The HorizontalPodAutoscaler of `engine: HPA`.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};

use super::behavior::behavior;
use crate::{scaling::PodAutoscaling, validated::ValidatedModelService};

pub(super) fn build(
    model_service: &ValidatedModelService,
    pods: &PodAutoscaling,
) -> HorizontalPodAutoscaler {
    HorizontalPodAutoscaler {
        metadata: model_service.child_metadata(),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: model_service.name().to_owned(),
            },
            min_replicas: Some(pods.min_replicas),
            max_replicas: pods.max_replicas,
            metrics: Some(vec![
                utilization("cpu", pods.cpu_utilization_percent),
                utilization("memory", pods.memory_utilization_percent),
            ]),
            behavior: Some(behavior(&pods.behavior)),
        }),
        status: None,
    }
}

/// Mean use of a resource over all pods, in percent of what they request.
fn utilization(resource: &str, percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: resource.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}
