//! The HorizontalPodAutoscaler of `engine: HPA`.

use std::ops::RangeInclusive;

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, CrossVersionObjectReference, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec, MetricIdentifier, MetricSpec, MetricTarget, PodsMetricSource,
};

use springtide_api::targets::{Signal, Source};

use super::{SERVER_CONTAINER, behavior::behavior};
use crate::{autoscaling::EffectiveTargets, quantity, spec::ValidatedModelService};

pub(super) fn build(
    model_service: &ValidatedModelService,
    effective: &EffectiveTargets<'_>,
    replicas: &RangeInclusive<i32>,
) -> HorizontalPodAutoscaler {
    HorizontalPodAutoscaler {
        metadata: model_service.child_metadata(),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: model_service.name().to_owned(),
            },
            min_replicas: Some(*replicas.start()),
            max_replicas: *replicas.end(),
            metrics: Some(metrics(effective)),
            behavior: Some(behavior(&effective.pods.behavior)),
        }),
        status: None,
    }
}

fn metrics(effective: &EffectiveTargets<'_>) -> Vec<MetricSpec> {
    let targets = &effective.targets;
    let metric = |(signal, target): (Signal, i32)| match signal.row().source {
        Source::Resource(resource) => utilization(resource, target),
        Source::Server(metric) => pods_metric(metric.pods_metric, target),
    };
    targets.iter().map(metric).collect()
}

/// Mean utilization of a resource by the serving containers of all pods, in percent of their requests. Containers that
/// webhooks add don't count.
fn utilization(resource: &str, percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "ContainerResource".to_owned(),
        container_resource: Some(ContainerResourceMetricSource {
            name: resource.to_owned(),
            container: SERVER_CONTAINER.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

/// Mean reading of all pods. The adapter's unit is that of the API's field.
fn pods_metric(name: &str, target: i32) -> MetricSpec {
    MetricSpec {
        type_: "Pods".to_owned(),
        pods: Some(PodsMetricSource {
            metric: MetricIdentifier {
                name: name.to_owned(),
                selector: None,
            },
            target: MetricTarget {
                type_: "AverageValue".to_owned(),
                average_value: Some(quantity::whole(target)),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}
