//! The decision of an HPA in its last sync, and its cause.

use k8s_openapi::{
    api::autoscaling::v2::HorizontalPodAutoscaler, apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};
use springtide_api::status::{Decision, Limit};

use super::{
    step::{Step, StepCause},
    wording,
};
use crate::{
    autoscaling::readings::{MetricKind, deciding, followed, has_read, missing},
    observed::foreign_status::hpa_condition,
    status::conditions::StatusContext,
};

/// Whether the HPA's status is of the sync in which it last scaled. The next sync changes this reason.
pub(super) fn is_fresh(hpa: &HorizontalPodAutoscaler) -> bool {
    hpa_condition(hpa, "AbleToScale")
        .is_some_and(|able| able.reason.as_deref() == Some("SucceededRescale"))
}

/// When the HPA last scaled.
pub(super) fn last_scale_time(hpa: &HorizontalPodAutoscaler) -> Option<Timestamp> {
    Some(hpa.status.as_ref()?.last_scale_time.as_ref()?.0)
}

/// The latest decision of the HPA, if its status still has all of it.
pub(super) fn latest_step(
    context: &StatusContext<'_>,
    hpa: &HorizontalPodAutoscaler,
) -> Option<Step> {
    let status = hpa.status.as_ref().filter(|_| is_fresh(hpa))?;
    let from = status.current_replicas?;
    let to = status.desired_replicas;
    let cause = if has_read(hpa) {
        readings_cause(context, hpa, from, to)
    } else {
        bounds_cause(context, hpa, from, to)?
    };
    Some(Step {
        time: last_scale_time(hpa)?,
        from,
        to,
        cause,
    })
}

fn bounds_cause(
    context: &StatusContext<'_>,
    hpa: &HorizontalPodAutoscaler,
    from: i32,
    to: i32,
) -> Option<StepCause> {
    let spec = hpa.spec.as_ref()?;
    let min_replicas = context.model_service.scaling().min_replicas();
    Some(if to > from {
        let bound = spec.min_replicas.unwrap_or(1);
        StepCause::Bounds {
            limit: Limit::MinReplicas,
            bound,
            by_schedule: bound > min_replicas,
        }
    } else {
        StepCause::Bounds {
            limit: Limit::MaxReplicas,
            bound: spec.max_replicas,
            by_schedule: false,
        }
    })
}

fn readings_cause(
    context: &StatusContext<'_>,
    hpa: &HorizontalPodAutoscaler,
    from: i32,
    to: i32,
) -> StepCause {
    let followed = followed(hpa, context.observed.scaled_object.as_ref());
    let deciding = deciding(hpa, &followed).cloned();
    let limit = limit(hpa).or_else(|| {
        let desired = deciding.as_ref()?.replicas_for(from)?;
        window(context, hpa, from, to, desired)
    });
    StepCause::Readings {
        limit,
        missing: missing(&followed)
            .map(|metric| metric.kind.name().to_owned())
            .collect(),
        deciding,
    }
}

/// The limit that the HPA reports.
fn limit(hpa: &HorizontalPodAutoscaler) -> Option<Limit> {
    let limited =
        hpa_condition(hpa, "ScalingLimited").filter(|limited| limited.status == "True")?;
    match limited.reason.as_deref()? {
        "TooFewReplicas" => Some(Limit::MinReplicas),
        "TooManyReplicas" => Some(Limit::MaxReplicas),
        "ScaleUpLimit" | "ScaleDownLimit" => Some(Limit::Policies),
        _ => None,
    }
}

/// The stabilization window, if only that explains the limit. The HPA doesn't report it in the sync in which it scales.
/// While pods are unready, the recommendation isn't known.
fn window(
    context: &StatusContext<'_>,
    hpa: &HorizontalPodAutoscaler,
    from: i32,
    to: i32,
    desired: i64,
) -> Option<Limit> {
    let behavior = hpa.spec.as_ref()?.behavior.as_ref()?;
    let rules = if to > from {
        &behavior.scale_up
    } else {
        &behavior.scale_down
    };
    let has_window = rules.as_ref()?.stabilization_window_seconds? > 0;
    let ready = context
        .observed
        .deployment
        .as_ref()?
        .status
        .as_ref()?
        .ready_replicas?;
    let fell_short = if to > from {
        desired > i64::from(to)
    } else {
        desired < i64::from(to)
    };
    (has_window && ready >= from && fell_short).then_some(Limit::StabilizationWindow)
}

impl Step {
    /// The step as a decision from `from` replicas.
    pub(super) fn decision(self, from: i32) -> Decision {
        let message = wording::step(&self, from);
        let (deciding, limited_by) = match self.cause {
            StepCause::Bounds { limit, .. } => (None, Some(limit)),
            StepCause::Readings {
                deciding, limit, ..
            } => (deciding, limit),
        };
        let signal = deciding.as_ref().and_then(|metric| match metric.kind {
            MetricKind::Signal(signal) => Some(signal),
            MetricKind::Schedule(_) | MetricKind::Other(_) => None,
        });
        let deciding = deciding.filter(|_| signal.is_some());
        Decision {
            time: Time(self.time),
            from,
            to: self.to,
            signal,
            value: deciding
                .as_ref()
                .and_then(|metric| metric.reading.map(wording::decimal)),
            target: deciding
                .and_then(|metric| metric.target)
                .and_then(|target| i32::try_from(target / 1000).ok()),
            limited_by,
            message,
        }
    }
}
