//! `MetricsHealthy`: the autoscaler gets readings for what it follows.
//!
//! It isn't part of the summary: a gap in monitoring doesn't make a model that is served unready.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

use super::{Evidence, Finding, lookup::hpa_condition};
use crate::scaling::Scaling;

pub(super) fn judge(evidence: &Evidence<'_>) -> Finding {
    let observed = evidence.observed;
    match evidence.model_service.scaling() {
        Scaling::Fixed { .. } => Finding::yes(
            "NotNeeded",
            "spec.autoscaling.engine is None: nothing is measured.",
        ),
        Scaling::Hpa { .. } => hpa(
            observed.horizontal_pod_autoscaler.as_ref(),
            "Is metrics-server installed?",
        ),
        Scaling::Keda { .. } => {
            let falls_back = observed
                .scaled_object
                .as_ref()
                .and_then(|scaled_object| scaled_object.condition("Fallback"))
                .is_some_and(|fallback| fallback.status == "True");
            if falls_back {
                return Finding::no(
                    "FallbackActive",
                    "Prometheus gives no reading for at least one trigger: the number of pods is kept. Check that Prometheus is up and scrapes the pods.",
                );
            }
            hpa(
                observed.keda_horizontal_pod_autoscaler.as_ref(),
                "Are metrics-server and Prometheus up, and are the pods scraped?",
            )
        }
    }
}

fn hpa(hpa: Option<&HorizontalPodAutoscaler>, hint: &str) -> Finding {
    let Some(active) = hpa.and_then(|hpa| hpa_condition(hpa, "ScalingActive")) else {
        return Finding::unknown(
            "Starting",
            "The HorizontalPodAutoscaler has read nothing yet.",
        );
    };
    let reason = active.reason.as_deref().unwrap_or("MetricsUnavailable");
    let message = active.message.as_deref().unwrap_or_default();
    match active.status.as_str() {
        "True" => Finding::yes("Readings", "The autoscaler gets readings."),
        "False" => Finding::no(reason, format!("{message}. {hint}")),
        _ => Finding::unknown(reason, message),
    }
}
