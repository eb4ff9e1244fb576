//! `AutoscalingReady`: the autoscaler that the spec names exists and can scale.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

use super::{Evidence, Finding, blocked::blocked};
use crate::{
    child::ChildKind,
    engine::{Following, Resolved},
    lookup::{hpa_condition, hpa_off},
    observed::Observed,
};

pub(super) fn judge(evidence: &Evidence<'_>) -> Finding {
    match evidence.model_service.scaling().on(evidence.observed) {
        Resolved::Fixed { replicas } => {
            switching(evidence, "spec.replicas is applied").unwrap_or_else(|| {
                Finding::yes(
                    "FixedReplicas",
                    format!(
                        "spec.autoscaling.engine is None: the number of pods is fixed at {replicas}."
                    ),
                )
            })
        }
        Resolved::Hpa(following) => not_applied(evidence, ChildKind::HorizontalPodAutoscaler)
            .unwrap_or_else(|| hpa(evidence.observed, &following)),
        Resolved::Keda(_) if !evidence.observed.capabilities.keda => {
            let meanwhile = kept(evidence)
                .unwrap_or_else(|| "Until then nothing scales the pods.".to_owned());
            Finding::no(
                "KedaMissing",
                format!(
                    "KEDA isn't installed. Install it (https://keda.sh), or set spec.autoscaling.engine to HPA. {meanwhile}"
                ),
            )
        }
        Resolved::Keda(_) => not_applied(evidence, ChildKind::ScaledObject)
            .unwrap_or_else(|| keda(evidence.observed)),
    }
}

/// What sets the number of pods while the autoscaler that the spec names can't be made.
fn kept(evidence: &Evidence<'_>) -> Option<String> {
    let kind = evidence.desired.keeps?;
    Some(format!("Until then the former {kind} goes on scaling."))
}

/// The former autoscaler has to go first.
fn switching(evidence: &Evidence<'_>, before: &str) -> Option<Finding> {
    let former = evidence.desired.waits_for?;
    // A deletion that fails is why the new one waits.
    Some(blocked(evidence, former).unwrap_or_else(|| {
        Finding::no(
            "SwitchingAutoscaler",
            format!("The former {former} must be gone before {before}."),
        )
    }))
}

fn not_applied(evidence: &Evidence<'_>, kind: ChildKind) -> Option<Finding> {
    switching(evidence, &format!("the {kind} takes over"))
        .or_else(|| {
            let mut blocked = blocked(evidence, kind)?;
            if let Some(kept) = kept(evidence) {
                blocked.message = format!("{} {kept}", blocked.message);
            }
            Some(blocked)
        })
        // What has the Deployment's name isn't to be scaled.
        .or_else(|| {
            let taken = evidence.desired.name_taken.contains(&ChildKind::Deployment);
            taken
                .then(|| blocked(evidence, ChildKind::Deployment))
                .flatten()
        })
}

fn hpa(observed: &Observed, following: &Following<'_>) -> Finding {
    let Some(hpa) = &observed.horizontal_pod_autoscaler else {
        return Finding::unknown("Starting", "The HorizontalPodAutoscaler is being made.");
    };
    if let Some(fault) = scaling_fault(hpa) {
        return fault;
    }
    if following.unavailable.is_empty() {
        return Finding::yes(
            "Scaling",
            "The HorizontalPodAutoscaler sets the number of pods.",
        );
    }
    let unavailable = following
        .unavailable
        .iter()
        .map(|signal| signal.signal().as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let instead = if following.stands_in {
        " Until then CPU at 70 % of the request is followed instead."
    } else {
        ""
    };
    Finding::no(
        "SignalsUnavailable",
        format!(
            "The HorizontalPodAutoscaler can't follow spec.autoscaling.targets {unavailable}: the custom metrics API doesn't have them. Install prometheus-adapter with Springtide's rules, or KEDA and set spec.autoscaling.engine to Auto or KEDA.{instead}"
        ),
    )
}

fn keda(observed: &Observed) -> Finding {
    let Some(scaled_object) = &observed.scaled_object else {
        return Finding::unknown("Starting", "The ScaledObject is being made.");
    };
    if scaled_object.is_paused() {
        return Finding::no(
            "Paused",
            "The ScaledObject is paused by an annotation, autoscaling.keda.sh/paused or autoscaling.keda.sh/paused-replicas: nothing scales the pods until it is removed.",
        );
    }
    let scaling = |hpa| {
        scaling_fault(hpa)
            .unwrap_or_else(|| Finding::yes("Scaling", "KEDA sets the number of pods."))
    };
    let hpa = observed.keda_horizontal_pod_autoscaler.as_ref();
    if let Some(reason) = scaled_object.trigger_fault() {
        return hpa.map_or_else(
            || {
                Finding::no(
                    reason,
                    "KEDA can't read its triggers and has made no HorizontalPodAutoscaler yet. MetricsHealthy says what to check.",
                )
            },
            scaling,
        );
    }
    let starting = || Finding::unknown("Starting", "KEDA hasn't looked at the ScaledObject yet.");
    let Some(ready) = scaled_object.condition("Ready") else {
        return starting();
    };
    let message = || format!("KEDA: {}", ready.message.as_deref().unwrap_or_default());
    match (ready.status.as_str(), ready.reason.as_deref()) {
        ("True", _) => hpa.map_or_else(
            || Finding::yes("Scaling", "KEDA sets the number of pods."),
            scaling,
        ),
        ("False", reason) => Finding::no(reason.unwrap_or("ScaledObjectNotReady"), message()),
        (_, Some(reason)) if !reason.is_empty() => Finding::unknown(reason, message()),
        // KEDA sets every condition to unknown, without a reason, before its first look.
        _ => starting(),
    }
}

/// Why an HPA can't scale, whatever its metrics say. Its own messages hold names of pods and texts of
/// passing network errors.
fn scaling_fault(hpa: &HorizontalPodAutoscaler) -> Option<Finding> {
    let unable = hpa_condition(hpa, "AbleToScale")
        .filter(|able| able.status == "False")
        .map(|able| able.reason.as_deref().unwrap_or("UnableToScale"));
    let name = hpa.metadata.name.as_deref().unwrap_or_default();
    let hint = format!("`kubectl describe hpa {name}` says more.");
    if let Some(reason) = unable {
        return Some(Finding::no(
            reason,
            format!("The HorizontalPodAutoscaler can't read or change the number of pods. {hint}"),
        ));
    }
    let reason = hpa_off(hpa)?;
    let why = match reason {
        "ScalingDisabled" => "The HorizontalPodAutoscaler is off while the Deployment has 0 pods.",
        "AmbiguousSelector" => {
            "Another HorizontalPodAutoscaler scales the same pods, so neither does. Delete it."
        }
        _ => "The HorizontalPodAutoscaler can't select the pods.",
    };
    Some(Finding::no(reason, format!("{why} {hint}")))
}
