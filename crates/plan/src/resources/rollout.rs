//! The rollout strategy. A rollout never waits for room that only a previous pod can free.

use std::ops::RangeInclusive;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{Pod, PodCondition},
    },
    apimachinery::pkg::util::intstr::IntOrString,
    jiff::{SignedDuration, Timestamp},
};

use super::model_source::ModelSource;
use crate::{
    observed::{
        Observed,
        foreign_status::{deployment_condition, pod_condition},
        pod_startup, pods,
    },
    spec::{ValidatedModelService, rollout_rules::is_zero},
};

/// Progress deadline of a rollout in seconds: the API server's default, and the maximum here.
const PROGRESS_DEADLINE_SECONDS: RangeInclusive<i32> = 600..=86_400;

/// Seconds until a new pod is scheduled and has its images.
const SCHEDULING_SECONDS: i32 = 300;

/// Minimum transfer rate of a model's source, in MiB per second.
const FETCH_MEBIBYTES_PER_SECOND: i32 = 10;

/// Time for which a new pod may be unscheduled before a previous pod makes room. Another pod may end in that time, or a
/// node may join.
const SCHEDULING_GRACE_PERIOD: SignedDuration = SignedDuration::from_secs(60);

/// Messages of the scheduler if other pods occupy the room
/// (<https://github.com/kubernetes/kubernetes/tree/v1.36.3/pkg/scheduler/framework/plugins>).
const BLOCKED_BY_PODS: [&str; 7] = [
    "Insufficient ",
    "Too many pods",
    "free ports",
    "max volume count",
    "anti-affinity",
    "topology spread constraints",
    SINGLE_POD_VOLUME,
];

/// A volume for a single pod is in use until its pod ends.
const SINGLE_POD_VOLUME: &str = "ReadWriteOncePod";

/// Messages of the scheduler about nodes on which a pod would fit if others ended, and about nodes on which it wouldn't
/// (<https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/scheduler/framework/preemption/preemption.go>).
const WOULD_FIT: &str = "No preemption victims found";
const WOULD_NOT_FIT: &str = "Preemption is not helpful";

/// Seconds without progress after which a rollout counts as failed. A pod that becomes ready is progress. So the
/// default is at least the time of one pod: scheduling, fetching a model of the maximum size, and starting.
pub(crate) fn progress_deadline_seconds(model_service: &ValidatedModelService) -> i32 {
    let fetch_seconds = if ModelSource::of(model_service.model_uri()).is_small {
        0
    } else {
        model_service.max_size_mebibytes() / FETCH_MEBIBYTES_PER_SECOND
    };
    let start = SCHEDULING_SECONDS + fetch_seconds + model_service.server().startup_timeout_seconds;
    let default = start.clamp(
        *PROGRESS_DEADLINE_SECONDS.start(),
        *PROGRESS_DEADLINE_SECONDS.end(),
    );
    let wanted = model_service.rollout().progress_deadline_seconds;
    wanted.unwrap_or(default)
}

/// How pods of a new spec replace the previous ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RolloutMode {
    /// According to the spec. By default new pods start beside the previous ones, which serve until then.
    Standard,
    /// No pod has ever served: all previous pods end at once.
    ReplaceAll,
    /// New pods can't be placed beside the previous ones: each replaces one of them.
    OneAtATime,
}

/// The mode of the observed rollout. Once it is one pod at a time, it stays so until the rollout completes.
pub(crate) fn rollout_mode(
    model_service: &ValidatedModelService,
    observed: &Observed,
) -> RolloutMode {
    let Some(deployment) = &observed.deployment else {
        return RolloutMode::Standard;
    };
    if model_service.rollout().max_unavailable.is_some() || !has_previous_pods(deployment) {
        return RolloutMode::Standard;
    }
    let live = pods::live(observed);
    if !live.is_empty() && !live.iter().any(|pod| pods::has_served(pod)) {
        return RolloutMode::ReplaceAll;
    }
    let has_begun = has_no_surge(deployment) && !is_zero(&model_service.rollout().max_surge);
    if has_begun || lacks_room(observed) {
        RolloutMode::OneAtATime
    } else {
        RolloutMode::Standard
    }
}

/// The strategy of the Deployment.
pub(crate) fn strategy(
    model_service: &ValidatedModelService,
    observed: &Observed,
) -> DeploymentStrategy {
    let rules = model_service.rollout();
    let surge = || rules.max_surge.clone();
    let (max_surge, max_unavailable) = match rollout_mode(model_service, observed) {
        RolloutMode::Standard => {
            let min_unavailable = IntOrString::Int(i32::from(is_zero(&rules.max_surge)));
            (
                surge(),
                rules.max_unavailable.clone().unwrap_or(min_unavailable),
            )
        }
        RolloutMode::ReplaceAll => (surge(), IntOrString::String("100%".to_owned())),
        RolloutMode::OneAtATime => (IntOrString::Int(0), IntOrString::Int(1)),
    };
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(max_surge),
            max_unavailable: Some(max_unavailable),
        }),
    }
}

/// Whether new pods can't be placed beside the previous ones: a quota is exhausted, other pods occupy every node, or a
/// volume is attached to another node.
pub(crate) fn lacks_room(observed: &Observed) -> bool {
    let is_over_quota = observed.deployment.as_ref().is_some_and(|deployment| {
        deployment_condition(deployment, "ReplicaFailure").is_some_and(|failure| {
            let message = failure.message.as_deref().unwrap_or_default();
            failure.status == "True" && message.contains("exceeded quota")
        })
    });
    let waits = |pod: &&Pod| room_needed_from(pod).is_some_and(|due| due <= observed.at);
    is_over_quota
        || pods::live(observed).iter().any(waits)
        || pod_startup::is_attached_elsewhere(&observed.events)
}

/// When a previous pod is to make room for an unscheduled one.
pub(crate) fn requeue_at(observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    let is_rolling = observed.deployment.as_ref().is_some_and(has_previous_pods);
    pods::live(observed)
        .into_iter()
        .filter(|_| is_rolling)
        .filter_map(room_needed_from)
        .filter(|due| *due > now)
        .min()
}

/// From when on the pod needs the room of another one. `None` if it is scheduled, or if the end of another pod wouldn't
/// help.
fn room_needed_from(pod: &Pod) -> Option<Timestamp> {
    let scheduled = pod_condition(pod, "PodScheduled")?;
    let message = scheduled.message.as_deref().unwrap_or_default();
    let since = |condition: &PodCondition| Some(condition.last_transition_time.as_ref()?.0);
    let is_in_the_way = BLOCKED_BY_PODS.iter().any(|cause| message.contains(cause));
    let would_help = message.contains(WOULD_FIT) || !message.contains(WOULD_NOT_FIT);
    if scheduled.status != "False" || !is_in_the_way || !would_help {
        return None;
    }
    if message.contains(SINGLE_POD_VOLUME) {
        return since(scheduled);
    }
    since(scheduled)?.checked_add(SCHEDULING_GRACE_PERIOD).ok()
}

/// Whether pods of a previous spec exist.
fn has_previous_pods(deployment: &Deployment) -> bool {
    deployment.status.as_ref().is_some_and(|status| {
        status.updated_replicas.unwrap_or_default() < status.replicas.unwrap_or_default()
    })
}

/// Whether the Deployment already replaces one pod at a time.
fn has_no_surge(deployment: &Deployment) -> bool {
    let rules = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.strategy.as_ref()?.rolling_update.as_ref());
    rules.is_some_and(|rules| rules.max_surge.as_ref().is_some_and(is_zero))
}
