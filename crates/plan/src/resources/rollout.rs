//! How pods of a new spec take the place of former ones, so that a rollout never waits for room that only a former
//! pod can give.

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

/// Seconds without progress after which a rollout counts as failed: the API server's default, and the longest that the
/// API server takes here.
const PROGRESS_DEADLINE_SECONDS: RangeInclusive<i32> = 600..=86_400;

/// Seconds until a new pod has a node and its images.
const SCHEDULING_SECONDS: i32 = 300;

/// Mebibytes of a model that even a slow source gives in a second.
const FETCH_MEBIBYTES_PER_SECOND: i32 = 10;

/// How long a new pod may be without a node before a former one makes room: another one may end meanwhile, or a node
/// may come.
const SCHEDULING_GRACE_PERIOD: SignedDuration = SignedDuration::from_secs(60);

/// What the scheduler says where another pod is in the way
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

/// A volume for one pod is in use: that doesn't end before its pod does.
const SINGLE_POD_VOLUME: &str = "ReadWriteOncePod";

/// What the scheduler says of nodes on which a pod would fit if others went, and of those on which it wouldn't
/// (<https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/scheduler/framework/preemption/preemption.go>).
const WOULD_FIT: &str = "No preemption victims found";
const WOULD_NOT_FIT: &str = "Preemption is not helpful";

/// Seconds without progress after which a rollout counts as failed. A pod that becomes ready is progress, so that the
/// default is at least what one may take: to be placed, to fetch a model of the size that is allowed, and to start.
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

/// How a rollout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RolloutMode {
    /// By what the spec says, and else beside the former pods, which serve until the new ones do.
    Standard,
    /// No pod has ever served: all former ones make room at once.
    ReplaceAll,
    /// New pods can't be placed beside the former ones: one of these goes for each.
    OneAtATime,
}

/// How the rollout goes that is observed. Once it goes one pod at a time it goes on so to its end.
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

/// Whether new pods can't be placed beside the former ones: a quota is used up, other pods are in the way on each
/// node, or a volume is on another node.
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

/// When a former pod is to make room for one that has no node.
pub(crate) fn requeue_at(observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    let is_rolling = observed.deployment.as_ref().is_some_and(has_previous_pods);
    pods::live(observed)
        .into_iter()
        .filter(|_| is_rolling)
        .filter_map(room_needed_from)
        .filter(|due| *due > now)
        .min()
}

/// From when on the pod needs the room of another one. Nothing where it has a node, or where the end of another pod
/// wouldn't help it.
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

/// Whether pods of a former spec are there.
fn has_previous_pods(deployment: &Deployment) -> bool {
    deployment.status.as_ref().is_some_and(|status| {
        status.updated_replicas.unwrap_or_default() < status.replicas.unwrap_or_default()
    })
}

/// Whether the Deployment goes one pod at a time already.
fn has_no_surge(deployment: &Deployment) -> bool {
    let rules = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.strategy.as_ref()?.rolling_update.as_ref());
    rules.is_some_and(|rules| rules.max_surge.as_ref().is_some_and(is_zero))
}
