//! The ScaledObject of `engine: KEDA`.

use std::collections::BTreeMap;

use springtide_api::autoscaling::Keda;

use super::behavior::behavior;
use crate::{
    keda::{
        Advanced, Fallback, HorizontalPodAutoscalerConfig, ScaleTargetRef, ScaledObject,
        ScaledObjectSpec, Trigger,
    },
    queries,
    scaling::{PodAutoscaling, ServingTargets},
    settings::OperatorSettings,
    validated::ValidatedModelService,
};

pub(super) fn build(
    model_service: &ValidatedModelService,
    pods: &PodAutoscaling,
    serving: ServingTargets,
    keda: &Keda,
    settings: &OperatorSettings,
) -> ScaledObject {
    let prometheus = Prometheus {
        address: keda
            .prometheus_address
            .as_deref()
            .unwrap_or(&settings.prometheus_address),
    };
    ScaledObject {
        metadata: model_service.child_metadata(),
        spec: ScaledObjectSpec {
            scale_target_ref: ScaleTargetRef {
                api_version: Some("apps/v1".to_owned()),
                kind: Some("Deployment".to_owned()),
                name: model_service.name().to_owned(),
            },
            polling_interval: Some(keda.polling_interval_seconds),
            cooldown_period: Some(keda.cooldown_period_seconds),
            min_replica_count: Some(pods.min_replicas),
            max_replica_count: Some(pods.max_replicas),
            advanced: Some(Advanced {
                horizontal_pod_autoscaler_config: Some(HorizontalPodAutoscalerConfig {
                    behavior: Some(behavior(&pods.behavior)),
                }),
            }),
            triggers: vec![
                prometheus.trigger(
                    "request-rate",
                    MetricType::AverageValue,
                    queries::request_rate(model_service, settings),
                    serving.requests_per_second.to_string(),
                ),
                prometheus.trigger(
                    "queue-size",
                    MetricType::AverageValue,
                    queries::queue_size(model_service),
                    serving.queue_size.to_string(),
                ),
                prometheus.trigger(
                    "p95-latency",
                    MetricType::Value,
                    queries::p95_latency(model_service, settings),
                    seconds(serving.p95_latency_milliseconds),
                ),
                utilization("cpu", pods.cpu_utilization_percent),
                utilization("memory", pods.memory_utilization_percent),
            ],
            fallback: Some(Fallback {
                failure_threshold: keda.fallback_failure_threshold,
                replicas: pods.min_replicas,
                behavior: Some("currentReplicasIfHigher".to_owned()),
            }),
        },
        status: None,
    }
}

/// How a reading is compared with its target.
#[derive(Clone, Copy)]
enum MetricType {
    /// The reading is a sum over all pods, the target is for each of them.
    AverageValue,
    /// The reading doesn't grow with the number of pods, and is compared as it is.
    Value,
}

struct Prometheus<'a> {
    address: &'a str,
}

impl Prometheus<'_> {
    fn trigger(
        &self,
        name: &str,
        metric_type: MetricType,
        query: String,
        threshold: String,
    ) -> Trigger {
        let metric_type = match metric_type {
            MetricType::AverageValue => "AverageValue",
            MetricType::Value => "Value",
        };
        Trigger {
            kind: "prometheus".to_owned(),
            name: Some(name.to_owned()),
            metric_type: Some(metric_type.to_owned()),
            metadata: BTreeMap::from([
                ("serverAddress".to_owned(), self.address.to_owned()),
                ("query".to_owned(), query),
                ("threshold".to_owned(), threshold),
                // An empty answer is a failed reading, not a zero.
                ("ignoreNullValues".to_owned(), "false".to_owned()),
            ]),
        }
    }
}

/// Mean use of a resource over all pods, in percent of what they request.
fn utilization(resource: &str, percent: i32) -> Trigger {
    Trigger {
        kind: resource.to_owned(),
        name: Some(resource.to_owned()),
        metric_type: Some("Utilization".to_owned()),
        metadata: BTreeMap::from([("value".to_owned(), percent.to_string())]),
    }
}

/// Milliseconds as seconds, without the rounding of floating point.
fn seconds(milliseconds: i32) -> String {
    let text = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        for (milliseconds, text) in [
            (1, "0.001"),
            (500, "0.5"),
            (1000, "1"),
            (10_000, "10"),
            (1250, "1.25"),
            (600_000, "600"),
        ] {
            assert_eq!(seconds(milliseconds), text);
        }
    }
}
