//! `AutoscalingReady`: the autoscaler that the spec names exists and can scale.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

use super::{Evidence, Finding, blocked::blocked, lookup::hpa_condition};
use crate::{child::ChildKind, observed::Observed, scaling::Scaling};

pub(super) fn judge(evidence: &Evidence<'_>) -> Finding {
    match evidence.model_service.scaling() {
        Scaling::Fixed { replicas } => {
            switching(evidence, "spec.replicas is applied").unwrap_or_else(|| {
                Finding::yes(
                    "FixedReplicas",
                    format!(
                        "spec.autoscaling.engine is None: the number of pods is fixed at {replicas}."
                    ),
                )
            })
        }
        Scaling::Hpa {
            ignored_targets, ..
        } => not_applied(evidence, ChildKind::HorizontalPodAutoscaler)
            .unwrap_or_else(|| hpa(evidence.observed, ignored_targets)),
        Scaling::Keda { .. } if !evidence.observed.capabilities.keda => {
            let meanwhile = kept(evidence)
                .unwrap_or_else(|| "Until then nothing scales the pods.".to_owned());
            Finding::no(
                "KedaMissing",
                format!(
                    "KEDA isn't installed. Install it (https://keda.sh), or set spec.autoscaling.engine to HPA. {meanwhile}"
                ),
            )
        }
        Scaling::Keda { .. } => not_applied(evidence, ChildKind::ScaledObject)
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

fn hpa(observed: &Observed, ignored_targets: &[&str]) -> Finding {
    let Some(hpa) = &observed.horizontal_pod_autoscaler else {
        return Finding::unknown("Starting", "The HorizontalPodAutoscaler is being made.");
    };
    if let Some(fault) = scaling_fault(hpa) {
        return fault;
    }
    if ignored_targets.is_empty() {
        return Finding::yes(
            "Scaling",
            "The HorizontalPodAutoscaler sets the number of pods.",
        );
    }
    Finding::yes(
        "ServingSignalsIgnored",
        format!(
            "The HorizontalPodAutoscaler follows CPU and memory only. What is set in spec.autoscaling.targets and ignored: {}. Set spec.autoscaling.engine to KEDA to follow it.",
            ignored_targets.join(", ")
        ),
    )
}

fn keda(observed: &Observed) -> Finding {
    let Some(scaled_object) = &observed.scaled_object else {
        return Finding::unknown("Starting", "The ScaledObject is being made.");
    };
    let Some(ready) = scaled_object.condition("Ready") else {
        return Finding::unknown("Starting", "KEDA hasn't looked at the ScaledObject yet.");
    };
    let message = ready.message.as_deref().unwrap_or_default();
    match ready.status.as_str() {
        "True" => observed
            .keda_horizontal_pod_autoscaler
            .as_ref()
            .and_then(scaling_fault)
            .unwrap_or_else(|| Finding::yes("Scaling", "KEDA sets the number of pods.")),
        "False" => Finding::no(
            ready
                .reason
                .clone()
                .unwrap_or_else(|| "ScaledObjectNotReady".to_owned()),
            format!("KEDA: {message}"),
        ),
        _ => Finding::unknown("Starting", "KEDA hasn't looked at the ScaledObject yet."),
    }
}

/// Why an HPA can't scale, whatever its metrics say.
fn scaling_fault(hpa: &HorizontalPodAutoscaler) -> Option<Finding> {
    let able = hpa_condition(hpa, "AbleToScale").filter(|able| able.status == "False")?;
    Some(Finding::no(
        able.reason
            .clone()
            .unwrap_or_else(|| "UnableToScale".to_owned()),
        format!(
            "HorizontalPodAutoscaler: {}",
            able.message.as_deref().unwrap_or_default()
        ),
    ))
}
