//! `MetricsHealthy`: the autoscaler gets readings of all targets that it follows.
//!
//! It isn't part of `Ready`: a gap in the monitoring doesn't make a served model unready. Nor does it remove pods: an
//! HPA that lacks a reading can only add pods, by its other readings.

use std::{borrow::Cow, collections::BTreeSet};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

use super::{
    ConditionResult, Reason, StatusContext, foreign_reason,
    grace_period::{had_readings, readings_deadline},
};
use crate::{
    autoscaling::{
        ActiveAutoscaler,
        readings::{MetricReading, MetricsApi, followed, kind_of_keda_metric, missing},
    },
    keda::ScaledObject,
    observed::foreign_status::{hpa_condition, hpa_disabled_reason},
    resources::SERVER_CONTAINER,
};

/// The message before the first reading, whether or not the autoscaler has tried to read. A distinction wouldn't help
/// users, and each other text is a write.
const WAITING_MESSAGE: &str = "The first readings arrive a minute or two after a pod is ready.";

/// A cause of missing readings.
struct Fault {
    reason: String,
    message: String,
}

pub(super) fn evaluate(context: &StatusContext<'_>) -> ConditionResult {
    let observed = context.observed;
    let active = context.active;
    let (hpa, scaled_object) = match active {
        ActiveAutoscaler::Fixed { .. } => {
            return ConditionResult::yes(
                Reason::NotNeeded,
                "spec.autoscaling.engine is None: no readings are needed.",
            );
        }
        ActiveAutoscaler::Hpa(_) => (&observed.horizontal_pod_autoscaler, None),
        ActiveAutoscaler::Keda(_) => (
            &observed.keda_horizontal_pod_autoscaler,
            observed.scaled_object.as_ref(),
        ),
    };
    if scaled_object.is_some_and(ScaledObject::is_paused) {
        return ConditionResult::unknown(
            Reason::Paused,
            "The ScaledObject is paused: KEDA takes no readings.",
        );
    }
    let mut faults = scaled_object.and_then(keda).into_iter().collect::<Vec<_>>();
    if let Some(hpa) = hpa {
        if let (Some(reason), true) = (hpa_disabled_reason(hpa), faults.is_empty()) {
            return ConditionResult::unknown(
                reason,
                "The HorizontalPodAutoscaler takes no readings while it can't scale. See the condition AutoscalingReady.",
            );
        }
        faults.extend(missing_readings(hpa, scaled_object, !faults.is_empty()));
    }
    let is_due = || {
        had_readings(active, observed, context.previous)
            || readings_deadline(active, observed).is_some_and(|due| due <= context.now)
    };
    match faults.first() {
        Some(first) if is_due() => ConditionResult::no(
            first.reason.clone(),
            format!(
                "{} Meanwhile, no pod is removed.",
                faults
                    .iter()
                    .map(|fault| fault.message.as_str())
                    .collect::<Vec<_>>()
                    .join(" ")
            ),
        ),
        Some(_) => ConditionResult::unknown(Reason::Starting, WAITING_MESSAGE),
        None => healthy(hpa.as_ref()),
    }
}

fn healthy(hpa: Option<&HorizontalPodAutoscaler>) -> ConditionResult {
    let active = hpa.and_then(|hpa| hpa_condition(hpa, "ScalingActive"));
    match active.map(|active| active.status.as_str()) {
        None => ConditionResult::unknown(Reason::Starting, WAITING_MESSAGE),
        Some("True") => ConditionResult::yes(Reason::Readings, "The autoscaler gets readings."),
        Some(_) => ConditionResult::unknown(
            Reason::MetricsUnavailable,
            "The HorizontalPodAutoscaler doesn't report whether it has readings.",
        ),
    }
}

/// Faults that KEDA reports about its triggers.
fn keda(scaled_object: &ScaledObject) -> Option<Fault> {
    let falls_back = scaled_object
        .condition("Fallback")
        .is_some_and(|fallback| fallback.status == "True");
    let failing = scaled_object
        .failing_metrics()
        .map(|metric| {
            let kind = kind_of_keda_metric(metric, Some(scaled_object));
            kind.name().to_owned()
        })
        .collect::<BTreeSet<_>>();
    let is_faulty = falls_back || !failing.is_empty() || scaled_object.trigger_fault().is_some();
    if !is_faulty {
        return None;
    }
    let signals = if failing.is_empty() {
        "at least one trigger".to_owned()
    } else {
        failing.into_iter().collect::<Vec<_>>().join(", ")
    };
    let prometheus = scaled_object
        .spec
        .triggers
        .iter()
        .find_map(|trigger| trigger.metadata.get("serverAddress"))
        .map_or_else(String::new, |address| format!(" ({address})"));
    Some(Fault {
        reason: if falls_back {
            Reason::FallbackActive.into()
        } else {
            Reason::TriggerError.into()
        },
        message: format!(
            "KEDA gets no reading of {signals}. Check that Prometheus{prometheus} is up and scrapes the pods at the interval in prometheus.scrapeIntervalSeconds of the operator's chart."
        ),
    })
}

/// The metrics that the HPA has no reading of, by API. `knows_keda`: KEDA itself has reported its cause.
fn missing_readings(
    hpa: &HorizontalPodAutoscaler,
    scaled_object: Option<&ScaledObject>,
    knows_keda: bool,
) -> Vec<Fault> {
    let Some(active) = hpa_condition(hpa, "ScalingActive") else {
        return Vec::new();
    };
    // If the other readings ask for fewer pods, the condition is about the first metric without a reading.
    let reported = (active.status == "False").then(|| {
        let reason = active.reason.as_deref().unwrap_or_default();
        (reason, active.message.as_deref().unwrap_or_default())
    });
    let followed = followed(hpa, scaled_object);
    let read_any = followed.iter().any(|metric| metric.reading.is_some());
    // An HPA that only restored its bounds has read no metrics.
    if reported.is_none() && !read_any {
        return Vec::new();
    }
    let by_api = |api: MetricsApi| missing(&followed).filter(move |metric| metric.source == api);
    let faults = [
        MetricsApi::Resource,
        MetricsApi::Custom,
        MetricsApi::External,
    ]
    .into_iter()
    .filter(|api| !(knows_keda && *api == MetricsApi::External))
    .filter_map(|api| {
        let names = names(by_api(api))?;
        let reason = reason(api);
        let reported = reported
            .filter(|(reported, _)| {
                *reported == reason.as_str() || is_container_reason(api, reported)
            })
            .map(|(_, message)| message);
        Some(Fault {
            reason: reason.into(),
            message: format!("No reading of {names}: {}", cause(api, reported)),
        })
    })
    .collect::<Vec<_>>();
    match reported {
        Some((reason, _)) if faults.is_empty() && !knows_keda => vec![Fault {
            reason: foreign_reason(Some(reason), Reason::MetricsUnavailable).to_owned(),
            message: format!(
                "The HorizontalPodAutoscaler lacks a reading. See `kubectl describe hpa {}`.",
                hpa.metadata.name.as_deref().unwrap_or_default()
            ),
        }],
        _ => faults,
    }
}

fn names<'a>(metrics: impl Iterator<Item = &'a MetricReading>) -> Option<String> {
    let names = metrics.map(|metric| metric.kind.name()).collect::<Vec<_>>();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The HPA's reason for missing readings of an API.
const fn reason(api: MetricsApi) -> Reason {
    match api {
        MetricsApi::Resource => Reason::FailedGetResourceMetric,
        MetricsApi::Custom => Reason::FailedGetPodsMetric,
        MetricsApi::External => Reason::FailedGetExternalMetric,
    }
}

/// Whether the HPA's reason is about missing readings of containers.
fn is_container_reason(api: MetricsApi, reason: &str) -> bool {
    api == MetricsApi::Resource && reason == "FailedGetContainerResourceMetric"
}

/// The container without a request of a resource, from the HPA's message. An HPA of whole pods needs the request of
/// every container.
fn container_without_request(reported: &str) -> Option<&str> {
    let (_, after) = reported.split_once("missing request for ")?;
    let (_, after) = after.split_once(" in container ")?;
    after.split(' ').next()
}

/// The cause of missing readings of an API, and the remedy. `reported` is the HPA's message. It isn't copied, because
/// it contains pod names and temporary network errors
/// (<https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/controller/podautoscaler/metrics/client.go>).
fn cause(api: MetricsApi, reported: Option<&str>) -> Cow<'static, str> {
    const NO_POD_METRICS: [&str; 4] = [
        "no metrics returned",
        "did not receive metrics",
        "could not find the metric",
        "not present in metrics for pod",
    ];
    let reported = reported.unwrap_or_default();
    let has_no_pod_metrics = NO_POD_METRICS.iter().any(|text| reported.contains(text));
    if let (MetricsApi::Resource, Some(container)) = (api, container_without_request(reported))
        && container != SERVER_CONTAINER
    {
        return Cow::Owned(format!(
            "container {container}, which an admission webhook or another controller adds to the pods, doesn't request that resource. Set its request."
        ));
    }
    Cow::Borrowed(match api {
        MetricsApi::Resource if reported.contains("missing request for") => {
            "the pods don't request that resource. Set it in spec.server.resources.requests."
        }
        MetricsApi::Resource if has_no_pod_metrics => {
            "metrics-server has no metrics of the pods. See its logs."
        }
        MetricsApi::Resource => {
            "check that metrics-server is installed and runs (`kubectl get apiservice v1beta1.metrics.k8s.io`)."
        }
        MetricsApi::Custom if has_no_pod_metrics => {
            "the custom metrics API has no metrics of the pods. Check that Prometheus is up and scrapes them."
        }
        MetricsApi::Custom => {
            "check that the adapter of the custom metrics API runs (`kubectl get apiservice | grep custom.metrics`) and that its Prometheus is up."
        }
        MetricsApi::External => {
            "KEDA serves no metrics. Check that its operator and its metrics server run (`kubectl get apiservice v1beta1.external.metrics.k8s.io`), and that Prometheus is up."
        }
    })
}
