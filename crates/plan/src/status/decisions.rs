//! Why there are so many pods: the latest changes of their number.
//!
//! An HPA keeps what it decided on for one sync, a quarter of a minute: the next one overwrites it.
//! What was seen goes into the status of the ModelService, and stays there. Nothing here depends on
//! the clock, and what is known already isn't taken up again, so that the same observation never
//! changes a status.

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

/// Most decisions in a status, as its definition says.
const MAX_DECISIONS: usize = 5;

/// How far apart the clocks of an API server and of an HPA's controller may be.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// The latest changes of the number of pods, newest first: those of the status before and what has
/// come since.
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

/// The HPAs that scale the ModelService's pods: two while one engine takes over from the other.
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

/// What is known of the number of pods.
struct History {
    /// Newest first.
    decisions: Vec<Decision>,
    /// Pods before the first of the decisions, where it is known.
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

    /// Pods after the latest decision.
    fn replicas(&self) -> Option<i32> {
        self.decisions
            .first()
            .map_or(self.before, |latest| Some(latest.to))
    }

    /// Whether something was decided then or later.
    fn reaches(&self, time: Timestamp) -> bool {
        self.decisions
            .first()
            .is_some_and(|latest| latest.time.0 >= time)
    }

    /// Takes up a decision unless it is known, or older than all of a full list.
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

    /// Takes up what an HPA has decided. What it did, or somebody else, since the latest decision that
    /// is known becomes a part of it.
    fn add_step(&mut self, step: Step) {
        let known = self
            .replicas()
            .filter(|known| !self.reaches(step.time) && *known != step.to);
        let from = known.unwrap_or(step.from);
        self.add(step.decision(from));
    }
}

/// The present number of pods where nothing that is known explains it.
fn unexplained(
    context: &StatusContext<'_>,
    autoscalers: &[&HorizontalPodAutoscaler],
    history: &History,
) -> Option<Decision> {
    let deployment = context.observed.deployment.as_ref()?;
    let to = spec_replicas(deployment).filter(|replicas| history.replicas() != Some(*replicas))?;
    let (owner, time) = owner(deployment)?;
    // The Deployment was read before what is known already was decided.
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
        // A ModelService without a status is new, and so is what it has.
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
        // It may be the HPA's work, whose status follows in a moment.
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

/// Whether the HPA knows of this number of pods and hasn't decided on it itself.
fn has_seen(hpa: &HorizontalPodAutoscaler, replicas: i32) -> bool {
    hpa.status.as_ref().is_none_or(|status| {
        status.desired_replicas == replicas
            || (status.current_replicas == Some(replicas) && !is_fresh(hpa))
    })
}
