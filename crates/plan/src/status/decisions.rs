//! Decisions: the latest changes of the replicas and their causes.
//!
//! An HPA keeps its decision only until its next sync, 15 s later. So observed decisions are stored in the status of
//! the ModelService. They don't depend on the clock, and known decisions aren't added again. So the same observed state
//! never changes a status.

mod autoscaler;
mod owner;
mod step;
mod wording;

use k8s_openapi::{
    api::autoscaling::v2::HorizontalPodAutoscaler,
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use springtide_api::{ModelServiceStatus, status::Decision};

use self::{
    autoscaler::{is_fresh, last_scale_time, latest_step},
    owner::{Owner, owner},
    step::Step,
};
use crate::{
    child::ChildKind, desired::ownership::scales, observed::foreign_status::spec_replicas,
    spec::Scaling, status::conditions::StatusContext,
};

/// Maximum decisions in a status, as in the CRD.
const MAX_DECISIONS: usize = 5;

/// Maximum difference between the clocks of the API server and of the HPA's controller.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// The latest decisions, newest first: those of the previous status, and new ones.
pub(crate) fn decisions(context: &StatusContext<'_>) -> Vec<Decision> {
    let mut history = History::of(context.previous);
    if !context
        .desired
        .name_conflicts
        .contains(&ChildKind::Deployment)
    {
        let autoscalers = autoscalers(context);
        for hpa in &autoscalers {
            if let Some(step) = latest_step(context, hpa) {
                history.add_step(step);
            }
        }
        if let Some(decision) = unexplained(context, &autoscalers, &history) {
            history.add(decision);
        }
    }
    history.decisions
}

/// The HPAs that scale the ModelService's pods: two while the engine changes.
fn autoscalers<'a>(context: &StatusContext<'a>) -> Vec<&'a HorizontalPodAutoscaler> {
    let observed = context.observed;
    [
        &observed.horizontal_pod_autoscaler,
        &observed.keda_horizontal_pod_autoscaler,
    ]
    .into_iter()
    .flatten()
    .filter(|hpa| scales(hpa, context.model_service))
    .collect()
}

/// The known decisions.
struct History {
    /// Newest first.
    decisions: Vec<Decision>,
    /// Replicas before the oldest decision, if known.
    before: Option<i32>,
}

impl History {
    fn of(previous: Option<&ModelServiceStatus>) -> Self {
        let autoscaling = previous.and_then(|previous| previous.autoscaling.as_ref());
        Self {
            decisions: autoscaling
                .map(|autoscaling| autoscaling.decisions.clone())
                .unwrap_or_default(),
            before: previous.and_then(|previous| previous.desired_replicas),
        }
    }

    /// Replicas after the latest decision.
    fn replicas(&self) -> Option<i32> {
        self.decisions
            .first()
            .map_or(self.before, |latest| Some(latest.to))
    }

    /// Whether the latest decision is at that time or later.
    fn reaches(&self, time: Timestamp) -> bool {
        self.decisions
            .first()
            .is_some_and(|latest| latest.time.0 >= time)
    }

    /// Adds a decision unless it is known, or older than all of a full list.
    fn add(&mut self, decision: Decision) {
        let is_known = self
            .decisions
            .iter()
            .any(|known| known.time == decision.time && known.to == decision.to);
        if is_known || decision.from == decision.to {
            return;
        }
        let place = self
            .decisions
            .partition_point(|known| known.time > decision.time);
        self.decisions.insert(place, decision);
        self.decisions.truncate(MAX_DECISIONS);
    }

    /// Adds an HPA's decision. It includes all changes since the latest known decision.
    fn add_step(&mut self, step: Step) {
        let known = self
            .replicas()
            .filter(|known| !self.reaches(step.time) && *known != step.to);
        let from = known.unwrap_or(step.from);
        self.add(step.decision(from));
    }
}

/// A decision for the present replicas, if no known decision explains them.
fn unexplained(
    context: &StatusContext<'_>,
    autoscalers: &[&HorizontalPodAutoscaler],
    history: &History,
) -> Option<Decision> {
    let deployment = context.observed.deployment.as_ref()?;
    let to = spec_replicas(deployment).filter(|replicas| history.replicas() != Some(*replicas))?;
    let (owner, time) = owner(deployment)?;
    // The Deployment was read before the latest known decision.
    if history.reaches(time) {
        return None;
    }
    let decision = |from, time, message| Decision {
        time: Time(time),
        from,
        to,
        signal: None,
        value: None,
        target: None,
        limited_by: None,
        message,
    };
    let from = match (history.replicas(), owner) {
        (Some(from), _) => from,
        // A ModelService without a status is new, and so are its pods.
        (None, Owner::Creation | Owner::Initial | Owner::Fixed) => 0,
        (None, Owner::Kubectl(_) | Owner::Another(_)) => return None,
    };
    if let Owner::Another(_) = owner {
        let unobserved = autoscalers
            .iter()
            .filter_map(|hpa| last_scale_time(hpa))
            .find(|scaled| {
                !history.reaches(*scaled) && scaled.duration_since(time).abs() <= CLOCK_SKEW
            });
        if let Some(time) = unobserved {
            return Some(decision(from, time, wording::unobserved_steps(from, to)));
        }
        // It may be a decision of the HPA, whose status isn't updated yet.
        if !autoscalers.iter().all(|hpa| has_seen(hpa, to)) {
            return None;
        }
    }
    let is_fixed = matches!(context.model_service.scaling(), Scaling::Fixed { .. });
    let message = match owner {
        Owner::Creation if is_fixed => wording::fixed(from, to),
        Owner::Creation | Owner::Initial => wording::initial(from, to),
        Owner::Fixed => wording::fixed(from, to),
        Owner::Kubectl(manager) | Owner::Another(manager) => {
            wording::by_other_client(from, to, manager)
        }
    };
    Some(decision(from, time, message))
}

/// Whether the HPA has seen these replicas and hasn't decided on them itself.
fn has_seen(hpa: &HorizontalPodAutoscaler, replicas: i32) -> bool {
    hpa.status.as_ref().is_none_or(|status| {
        status.desired_replicas == replicas
            || (status.current_replicas == Some(replicas) && !is_fresh(hpa))
    })
}
