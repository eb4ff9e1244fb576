//! The ScaledObject of `engine: KEDA`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use springtide_api::{autoscaling::Keda, targets::Signal};

use super::{SERVER_CONTAINER, behavior::behavior, cron_trigger::cron_trigger};
use crate::{
    autoscaling::{EffectiveTargets, queries::query},
    keda::{
        Advanced, Fallback, HorizontalPodAutoscalerConfig, ScaleTargetRef, ScaledObject,
        ScaledObjectSpec, Trigger, TriggerAuthenticationRef,
    },
    settings::OperatorSettings,
    spec::ValidatedModelService,
};

pub(super) fn build(
    model_service: &ValidatedModelService,
    effective: &EffectiveTargets<'_>,
    max_replicas: i32,
    settings: &OperatorSettings,
    now: Timestamp,
) -> ScaledObject {
    let pods = effective.pods;
    let keda = &pods.keda;
    let prometheus = keda
        .prometheus_address
        .as_deref()
        .filter(|named| settings.allows_prometheus(named))
        .unwrap_or(&settings.prometheus_address);
    let targets = &effective.targets;
    let serving = targets
        .iter()
        .filter_map(|(signal, target)| {
            let reading = signal.server_metric()?.reading;
            let query = query(reading, target, model_service, settings);
            Some(prometheus_trigger(prometheus, keda, signal, query, target))
        })
        .collect::<Vec<_>>();
    let fallback = (!serving.is_empty()).then(|| Fallback {
        failure_threshold: keda.fallback_failure_threshold,
        replicas: pods.min_replicas,
        behavior: Some("currentReplicasIfHigher".to_owned()),
    });
    let resources = targets
        .iter()
        .filter_map(|(signal, target)| Some(utilization(signal, signal.resource()?, target)));
    let schedules = pods
        .schedules
        .iter()
        .map(|schedule| cron_trigger(schedule, now));
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
            max_replica_count: Some(max_replicas),
            advanced: Some(Advanced {
                horizontal_pod_autoscaler_config: Some(HorizontalPodAutoscalerConfig {
                    behavior: Some(behavior(&pods.behavior)),
                }),
            }),
            triggers: serving
                .into_iter()
                .chain(resources)
                .chain(schedules)
                .collect(),
            fallback,
        },
        status: None,
    }
}

fn prometheus_trigger(
    address: &str,
    keda: &Keda,
    signal: Signal,
    query: String,
    target: i32,
) -> Trigger {
    let modes = keda
        .auth_modes
        .iter()
        .map(|mode| mode.as_str())
        .collect::<Vec<_>>()
        .join(",");
    let modes = (!modes.is_empty()).then(|| ("authModes".to_owned(), modes));
    let is_sum = signal
        .server_metric()
        .is_some_and(|metric| metric.reading.is_sum());
    let metric_type = if is_sum { "AverageValue" } else { "Value" };
    Trigger {
        kind: "prometheus".to_owned(),
        name: Some(signal.as_str().to_owned()),
        metric_type: Some(metric_type.to_owned()),
        metadata: [
            ("serverAddress".to_owned(), address.to_owned()),
            ("query".to_owned(), query),
            ("threshold".to_owned(), target.to_string()),
            // An empty result is a failed reading, not zero.
            ("ignoreNullValues".to_owned(), "false".to_owned()),
        ]
        .into_iter()
        .chain(modes)
        .collect(),
        authentication_ref: keda.authentication_ref.as_ref().map(|login| {
            TriggerAuthenticationRef {
                name: login.name.clone(),
                kind: Some(login.kind.as_str().to_owned()),
            }
        }),
    }
}

/// Mean utilization of a resource by the serving containers of all pods, in percent of their requests.
fn utilization(signal: Signal, resource: &str, percent: i32) -> Trigger {
    Trigger {
        kind: resource.to_owned(),
        name: Some(signal.as_str().to_owned()),
        metric_type: Some("Utilization".to_owned()),
        metadata: BTreeMap::from([
            ("value".to_owned(), percent.to_string()),
            ("containerName".to_owned(), SERVER_CONTAINER.to_owned()),
        ]),
        authentication_ref: None,
    }
}
