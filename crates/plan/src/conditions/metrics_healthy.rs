//! `MetricsHealthy`: the autoscaler gets readings for what it follows.
//!
//! It isn't part of the summary: a gap in monitoring doesn't make a model that is served unready.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

use super::{Evidence, Finding};
use crate::{
    engine::Resolved,
    keda::ScaledObject,
    lookup::{hpa_condition, hpa_off},
};

pub(super) fn judge(evidence: &Evidence<'_>) -> Finding {
    let observed = evidence.observed;
    match evidence.model_service.scaling().on(observed) {
        Resolved::Fixed { .. } => Finding::yes(
            "NotNeeded",
            "spec.autoscaling.engine is None: nothing is measured.",
        ),
        Resolved::Hpa(_) => hpa(
            observed.horizontal_pod_autoscaler.as_ref(),
            "Is metrics-server installed?",
        ),
        Resolved::Keda(_) => keda(observed.scaled_object.as_ref()).unwrap_or_else(|| {
            hpa(
                observed.keda_horizontal_pod_autoscaler.as_ref(),
                "Are metrics-server and Prometheus up, and are the pods scraped?",
            )
        }),
    }
}

/// What KEDA knows about readings that its HPA doesn't.
fn keda(scaled_object: Option<&ScaledObject>) -> Option<Finding> {
    let scaled_object = scaled_object?;
    if scaled_object.is_paused() {
        return Some(Finding::unknown(
            "Paused",
            "The ScaledObject is paused: nothing is read.",
        ));
    }
    let falls_back = scaled_object
        .condition("Fallback")
        .is_some_and(|fallback| fallback.status == "True");
    if falls_back {
        return Some(Finding::no(
            "FallbackActive",
            "Prometheus gives no reading for at least one trigger: the number of pods is kept. Check that Prometheus is up and scrapes the pods.",
        ));
    }
    let reason = scaled_object.trigger_fault()?;
    Some(Finding::no(
        reason,
        "KEDA can't read at least one trigger. Check that spec.autoscaling.keda.prometheusAddress is right, that Prometheus is up and that it scrapes the pods.",
    ))
}

/// An HPA's own messages hold names of pods and texts of passing network errors.
fn hpa(hpa: Option<&HorizontalPodAutoscaler>, hint: &str) -> Finding {
    let Some((hpa, active)) = hpa.and_then(|hpa| Some((hpa, hpa_condition(hpa, "ScalingActive")?)))
    else {
        return Finding::unknown(
            "Starting",
            "The HorizontalPodAutoscaler has read nothing yet.",
        );
    };
    if let Some(reason) = hpa_off(hpa) {
        return Finding::unknown(
            reason,
            "The HorizontalPodAutoscaler reads nothing while it can't scale: AutoscalingReady says why.",
        );
    }
    let reason = active.reason.as_deref().unwrap_or("MetricsUnavailable");
    let name = hpa.metadata.name.as_deref().unwrap_or_default();
    match active.status.as_str() {
        "True" => Finding::yes("Readings", "The autoscaler gets readings."),
        "False" => Finding::no(
            reason,
            format!(
                "The HorizontalPodAutoscaler lacks a reading. {hint} `kubectl describe hpa {name}` says which."
            ),
        ),
        _ => Finding::unknown(
            reason,
            "The HorizontalPodAutoscaler doesn't know whether it has readings.",
        ),
    }
}
