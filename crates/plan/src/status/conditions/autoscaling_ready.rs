//! `AutoscalingReady`: the autoscaler of the spec exists and can scale.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use springtide_api::targets::Signal;

use super::{
    ConditionResult, Reason, StatusContext,
    blocked::{blocked, held_by_finalizer},
    foreign_reason,
    grace_period::{adoption_deadline, readings_deadline},
};
use crate::{
    autoscaling::{
        ActiveAutoscaler, EffectiveTargets,
        memory::{MemoryTarget, NoHeadroom},
    },
    child::ChildKind,
    desired::ownership::{controller, holder_of_keda_hpa},
    observed::{
        ExternalMetrics, Observed, PodsMetrics,
        foreign_status::{hpa_condition, hpa_disabled_reason},
    },
    spec::scaling::AutoscalerEngine,
};

pub(super) fn evaluate(context: &StatusContext<'_>) -> ConditionResult {
    let active = context.active;
    match active {
        ActiveAutoscaler::Fixed { replicas } => switching(context, "spec.replicas is applied")
            .or_else(|| foreign_autoscaler(context))
            .unwrap_or_else(|| {
                ConditionResult::yes(
                    Reason::FixedReplicas,
                    format!("spec.autoscaling.engine is None: replicas are fixed at {replicas}."),
                )
            }),
        ActiveAutoscaler::Hpa(effective) => {
            not_applied(context, ChildKind::HorizontalPodAutoscaler)
                .unwrap_or_else(|| hpa(context, active, effective))
        }
        ActiveAutoscaler::Keda(_) if !context.observed.capabilities.keda => {
            let meanwhile = retained_message(context)
                .unwrap_or_else(|| "Until then, no autoscaler sets the replicas.".to_owned());
            ConditionResult::no(
                Reason::KedaMissing,
                format!(
                    "KEDA isn't installed. Install it (https://keda.sh), or set spec.autoscaling.engine to HPA. {meanwhile}"
                ),
            )
        }
        // Without KEDA's API the ScaledObject may still be held: its CRD is deleted with the last ScaledObject.
        ActiveAutoscaler::Keda(effective) => keda_hpa_name_conflict(context)
            .or_else(|| not_applied(context, ChildKind::ScaledObject))
            .or_else(|| held_by_finalizer(context, ChildKind::ScaledObject))
            .or_else(|| keda_not_running(context))
            .or_else(|| prometheus_refused(context))
            .unwrap_or_else(|| keda(context.observed, effective)),
    }
}

/// KEDA derives the name of its HPA from the ScaledObject's.
fn keda_hpa_name_conflict(context: &StatusContext<'_>) -> Option<ConditionResult> {
    let holder = holder_of_keda_hpa(context.model_service, context.observed)?;
    let hpa = context.model_service.keda_hpa_name();
    let meanwhile = retained_message(context)
        .unwrap_or_else(|| "Until then, no autoscaler sets the replicas.".to_owned());
    Some(ConditionResult::no(
        Reason::NameTaken,
        format!(
            "HorizontalPodAutoscaler {hpa}, which KEDA would create, belongs to ModelService {holder}. Give one of the two ModelServices another name, or set spec.autoscaling.engine to HPA here. {meanwhile}"
        ),
    ))
}

/// KEDA hasn't processed the ScaledObject in time.
fn keda_not_running(context: &StatusContext<'_>) -> Option<ConditionResult> {
    let due = adoption_deadline(context.observed)?;
    (due <= context.now).then(|| {
        let api = match context.observed.capabilities.external_metrics {
            ExternalMetrics::Absent => " (external.metrics.k8s.io isn't registered)",
            ExternalMetrics::Unknown | ExternalMetrics::Registered => "",
        };
        ConditionResult::no(
            Reason::KedaNotRunning,
            format!(
                "KEDA's CRDs are installed, but KEDA hasn't processed the ScaledObject{api}. Until then, no autoscaler sets the replicas. Check that the KEDA operator runs and watches this namespace, or set spec.autoscaling.engine to HPA."
            ),
        )
    })
}

/// KEDA queries another Prometheus than that of the spec. A tenant must not direct KEDA's requests
/// (<https://github.com/kedacore/keda/issues/7697>).
fn prometheus_refused(context: &StatusContext<'_>) -> Option<ConditionResult> {
    context.desired.prometheus_refused.then(|| {
        ConditionResult::no(
            Reason::PrometheusAddressRefused,
            "The operator doesn't allow the address in spec.autoscaling.keda.prometheusAddress. KEDA queries the operator's own Prometheus instead. Remove the field, or add the address to prometheus.allowedAddresses of the operator's chart.",
        )
    })
}

/// What sets the replicas while the autoscaler of the spec can't be created.
fn retained_message(context: &StatusContext<'_>) -> Option<String> {
    let kind = context.desired.retained?;
    Some(format!(
        "Until then, the previous {kind} continues to scale."
    ))
}

/// An autoscaler of another owner sets the fixed replicas.
fn foreign_autoscaler(context: &StatusContext<'_>) -> Option<ConditionResult> {
    let names = &context.observed.other_autoscalers;
    // Otherwise it scales a Deployment of another owner.
    let is_ours = !context
        .desired
        .name_conflicts
        .contains(&ChildKind::Deployment);
    (is_ours && !names.is_empty()).then(|| {
        let names = names.iter().map(String::as_str).collect::<Vec<_>>();
        ConditionResult::no(
            Reason::AnotherAutoscaler,
            format!(
                "spec.replicas isn't applied: another HorizontalPodAutoscaler scales the Deployment ({}). Delete it, or set spec.autoscaling.engine and remove spec.replicas.",
                names.join(", ")
            ),
        )
    })
}

/// The previous autoscaler must be removed first.
fn switching(context: &StatusContext<'_>, before: &str) -> Option<ConditionResult> {
    let previous_kind = context.desired.blocked_on?;
    // If its deletion fails or is blocked, that is the cause.
    let why = blocked(context, previous_kind)
        .or_else(|| held_by_finalizer(context, previous_kind))
        .or_else(|| orphaned_keda_hpa(context, previous_kind, before));
    Some(why.unwrap_or_else(|| {
        ConditionResult::no(
            Reason::SwitchingAutoscaler,
            format!("The previous {previous_kind} must be removed before {before}."),
        )
    }))
}

/// The ScaledObject no longer exists, but its HPA does. The garbage collector deletes an HPA with its owner, but not
/// one without (`kubectl delete scaledobject --cascade=orphan`).
fn orphaned_keda_hpa(
    context: &StatusContext<'_>,
    previous_kind: ChildKind,
    before: &str,
) -> Option<ConditionResult> {
    if previous_kind != ChildKind::ScaledObject || context.observed.scaled_object.is_some() {
        return None;
    }
    let hpa = context.observed.keda_horizontal_pod_autoscaler.as_ref()?;
    let name = context.model_service.keda_hpa_name();
    let delete = format!("`kubectl delete hpa {name}`");
    Some(if controller(&hpa.metadata).is_none() {
        ConditionResult::no(
            Reason::AnotherAutoscaler,
            format!(
                "HorizontalPodAutoscaler {name} still scales the Deployment. KEDA created it for a ScaledObject that no longer exists, and it has no owner. Delete it before {before}: {delete}."
            ),
        )
    } else {
        ConditionResult::no(
            Reason::SwitchingAutoscaler,
            format!(
                "HorizontalPodAutoscaler {name}, which KEDA created for the previous ScaledObject, must be removed before {before}. Kubernetes deletes it within seconds. If it remains, delete it: {delete}."
            ),
        )
    })
}

fn not_applied(context: &StatusContext<'_>, kind: ChildKind) -> Option<ConditionResult> {
    switching(context, &format!("the {kind} takes over"))
        .or_else(|| {
            let mut blocked = blocked(context, kind)?;
            if let Some(retained_message) = retained_message(context) {
                blocked.message = format!("{} {retained_message}", blocked.message);
            }
            Some(blocked)
        })
        // A foreign Deployment of that name must not be scaled.
        .or_else(|| {
            let taken = context
                .desired
                .name_conflicts
                .contains(&ChildKind::Deployment);
            taken
                .then(|| blocked(context, ChildKind::Deployment))
                .flatten()
        })
}

fn hpa(
    context: &StatusContext<'_>,
    active: &ActiveAutoscaler<'_>,
    effective: &EffectiveTargets<'_>,
) -> ConditionResult {
    let observed = context.observed;
    let Some(hpa) = &observed.horizontal_pod_autoscaler else {
        return ConditionResult::unknown(
            Reason::Starting,
            "The HorizontalPodAutoscaler is being created.",
        );
    };
    if let Some(fault) = scaling_fault(hpa) {
        return fault;
    }
    if effective.unavailable.is_empty() {
        return scaling("The HorizontalPodAutoscaler sets the replicas.", effective);
    }
    // An adapter lists a metric once some pod reports it.
    let may_come = observed.capabilities.pods_metrics != PodsMetrics::Absent
        && readings_deadline(active, observed).is_none_or(|due| context.now < due);
    if may_come {
        return ConditionResult::unknown(
            Reason::Starting,
            format!(
                "The custom metrics API has no metrics of the pods yet. Until it has, {} isn't followed.",
                unavailable_names(effective)
            ),
        );
    }
    ConditionResult::no(
        Reason::SignalsUnavailable,
        unavailable_message(observed, effective),
    )
}

fn unavailable_names(effective: &EffectiveTargets<'_>) -> String {
    let names = effective.unavailable.iter().map(|signal| signal.as_str());
    names.collect::<Vec<_>>().join(", ")
}

fn unavailable_message(observed: &Observed, effective: &EffectiveTargets<'_>) -> String {
    const ADAPTER: &str = "prometheus-adapter (https://github.com/kubernetes-sigs/prometheus-adapter) with the rules in examples/prometheus-adapter.values.yaml";
    let api = match observed.capabilities.pods_metrics {
        PodsMetrics::Absent => "the cluster has no custom metrics API",
        PodsMetrics::Unknown => "the custom metrics API doesn't respond",
        PodsMetrics::Listed(_) => "the custom metrics API has no such metric of pods",
    };
    let metrics = effective
        .unavailable
        .iter()
        .filter_map(|signal| signal.pods_metric())
        .collect::<Vec<_>>()
        .join(", ");
    let remedy = match (observed.capabilities.keda, effective.pods.engine) {
        (true, AutoscalerEngine::Auto) => {
            format!(
                "KEDA's CRDs are installed, but KEDA isn't running: external.metrics.k8s.io isn't registered. Start KEDA (https://keda.sh), or install {ADAPTER}."
            )
        }
        (true, _) => {
            format!("Set spec.autoscaling.engine to Auto to use KEDA, or install {ADAPTER}.")
        }
        (false, AutoscalerEngine::Auto) => {
            format!("Install KEDA (https://keda.sh), or {ADAPTER}.")
        }
        (false, _) => format!(
            "Install {ADAPTER}, or KEDA (https://keda.sh) and set spec.autoscaling.engine to Auto."
        ),
    };
    let instead = match effective.targets.of(Signal::CpuUtilizationPercent) {
        Some(percent) if effective.is_cpu_fallback => {
            format!(
                " Until then, the HorizontalPodAutoscaler follows CPU at {percent} % of the request."
            )
        }
        _ => " Until then, the HorizontalPodAutoscaler follows the other targets.".to_owned(),
    };
    let memory = match &effective.memory {
        MemoryTarget::NoHeadroom(no_headroom) => {
            format!(" {}", without_memory(no_headroom, effective))
        }
        MemoryTarget::Followed | MemoryTarget::Pending => String::new(),
    };
    format!(
        "{} can't be followed: {api} ({metrics}). {remedy}{instead}{memory}",
        unavailable_names(effective)
    )
}

/// The autoscaler scales, with or without the memory target. A target without room isn't a fault of the cluster, and
/// the other targets are followed.
fn scaling(message: &str, effective: &EffectiveTargets<'_>) -> ConditionResult {
    match &effective.memory {
        MemoryTarget::Followed => ConditionResult::yes(Reason::Scaling, message),
        MemoryTarget::Pending => ConditionResult::yes(
            Reason::Scaling,
            format!(
                "{message} It follows memoryUtilizationPercent once a pod has reported its memory at rest."
            ),
        ),
        MemoryTarget::NoHeadroom(no_headroom) => ConditionResult::yes(
            Reason::MemoryNotFollowed,
            format!("{message} {}", without_memory(no_headroom, effective)),
        ),
    }
}

fn without_memory(no_headroom: &NoHeadroom, effective: &EffectiveTargets<'_>) -> String {
    let NoHeadroom {
        at_rest_mebibytes,
        percent,
        request,
        sufficient_request,
        exceeds_limit,
    } = no_headroom;
    let limit = if *exceeds_limit {
        ", and spec.server.resources.limits.memory to at least the same"
    } else {
        ""
    };
    let instead = match effective.targets.of(Signal::CpuUtilizationPercent) {
        Some(percent) if effective.is_cpu_fallback => {
            format!(" Until then, the autoscaler follows CPU at {percent} % of the request.")
        }
        _ => String::new(),
    };
    format!(
        "memoryUtilizationPercent isn't followed: a pod uses {at_rest_mebibytes} MiB at rest, which leaves no room below {percent} % of its memory request, {}. More pods don't change that. To follow the target, set spec.server.resources.requests.memory to {}{limit}.{instead}",
        request.0, sufficient_request.0
    )
}

fn keda(observed: &Observed, effective: &EffectiveTargets<'_>) -> ConditionResult {
    let Some(scaled_object) = &observed.scaled_object else {
        return ConditionResult::unknown(Reason::Starting, "The ScaledObject is being created.");
    };
    if scaled_object.is_paused() {
        return ConditionResult::no(
            Reason::Paused,
            "The ScaledObject is paused by the annotation autoscaling.keda.sh/paused or autoscaling.keda.sh/paused-replicas. Remove it. Until then, no autoscaler sets the replicas.",
        );
    }
    let scales = || scaling("KEDA sets the replicas.", effective);
    let scaling = |hpa| scaling_fault(hpa).unwrap_or_else(scales);
    let hpa = observed.keda_horizontal_pod_autoscaler.as_ref();
    if scaled_object.trigger_fault().is_some() {
        return hpa.map_or_else(
            || {
                ConditionResult::no(
                    Reason::TriggerError,
                    "KEDA can't read its triggers and hasn't created a HorizontalPodAutoscaler yet. See the condition MetricsHealthy.",
                )
            },
            scaling,
        );
    }
    let starting = || {
        ConditionResult::unknown(
            Reason::Starting,
            "KEDA hasn't processed the ScaledObject yet.",
        )
    };
    let Some(ready) = scaled_object.condition("Ready") else {
        return starting();
    };
    let message = || format!("KEDA: {}", ready.message.as_deref().unwrap_or_default());
    match (ready.status.as_str(), ready.reason.as_deref()) {
        ("True", _) => hpa.map_or_else(scales, scaling),
        ("False", reason) => ConditionResult::no(
            foreign_reason(reason, Reason::ScaledObjectNotReady),
            message(),
        ),
        (_, Some(reason)) if !reason.is_empty() => ConditionResult::unknown(
            foreign_reason(Some(reason), Reason::ScaledObjectNotReady),
            message(),
        ),
        // KEDA first sets every condition to unknown, without a reason.
        _ => starting(),
    }
}

/// Why an HPA can't scale, whatever its metrics. Its own messages contain pod names and temporary network errors.
fn scaling_fault(hpa: &HorizontalPodAutoscaler) -> Option<ConditionResult> {
    let unable = hpa_condition(hpa, "AbleToScale")
        .filter(|able| able.status == "False")
        .map(|able| foreign_reason(able.reason.as_deref(), Reason::UnableToScale));
    let name = hpa.metadata.name.as_deref().unwrap_or_default();
    let hint = format!("See `kubectl describe hpa {name}`.");
    if let Some(reason) = unable {
        return Some(ConditionResult::no(
            reason,
            format!(
                "The HorizontalPodAutoscaler can't read or update the scale of the Deployment. {hint}"
            ),
        ));
    }
    let reason = hpa_disabled_reason(hpa)?;
    let why = match reason {
        "ScalingDisabled" => {
            "The HorizontalPodAutoscaler is disabled while the Deployment has 0 replicas."
        }
        "AmbiguousSelector" => {
            "Another HorizontalPodAutoscaler selects the same pods, so neither of them scales. Delete it."
        }
        _ => "The HorizontalPodAutoscaler can't select the pods.",
    };
    Some(ConditionResult::no(reason, format!("{why} {hint}")))
}
