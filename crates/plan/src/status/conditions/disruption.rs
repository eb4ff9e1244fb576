//! Why pods were lost or restarted.

use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};

use super::{ConditionResult, Reason};
use crate::observed::{Observed, foreign_status::pod_condition, pods};

/// Time for which a lost pod is reported. Recurring causes recur within it.
const REPORT_PERIOD: SignedDuration = SignedDuration::from_mins(10);

/// The latest loss, if it is recent.
pub(super) fn recent(observed: &Observed, now: Timestamp) -> Option<ConditionResult> {
    let all = observed.pods.iter().filter_map(loss);
    let recent = all.filter(|(at, _)| now.duration_since(*at) < REPORT_PERIOD);
    recent
        .max_by(|(at, one), (other_at, other)| (at, &one.message).cmp(&(other_at, &other.message)))
        .map(|(_, result)| result)
}

/// When the latest loss stops being reported.
pub(super) fn requeue_at(observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    let latest = observed
        .pods
        .iter()
        .filter_map(loss)
        .map(|(at, _)| at)
        .max();
    latest?
        .checked_add(REPORT_PERIOD)
        .ok()
        .filter(|over| *over > now)
}

/// When and why the pod was lost.
fn loss(pod: &Pod) -> Option<(Timestamp, ConditionResult)> {
    disruption(pod).or_else(|| out_of_memory(pod))
}

/// A pod that another component ended (<https://kubernetes.io/docs/concepts/workloads/pods/disruptions/>).
fn disruption(pod: &Pod) -> Option<(Timestamp, ConditionResult)> {
    let condition = pod_condition(pod, "DisruptionTarget").filter(|it| it.status == "True")?;
    let at = condition.last_transition_time.as_ref()?.0;
    let result = match condition.reason.as_deref()? {
        "TerminationByKubelet" => evicted(pod),
        "PreemptionByScheduler" => ConditionResult::no(
            Reason::PodsPreempted,
            "A pod was preempted by one of higher priority.",
        ),
        "EvictionByEvictionAPI" => ConditionResult::no(
            Reason::PodsEvicted,
            "A pod was evicted through the Eviction API, such as by `kubectl drain` or a node autoscaler.",
        ),
        "DeletionByTaintManager" => ConditionResult::no(
            Reason::NodeLost,
            "A pod was deleted because its node has a taint that it doesn't tolerate, such as not-ready or unreachable.",
        ),
        "DeletionByPodGC" => ConditionResult::no(
            Reason::NodeLost,
            "A pod was deleted because its node no longer exists.",
        ),
        _ => return None,
    };
    Some((at, result))
}

/// The kubelet evicted the pod, because of node pressure or of an exceeded limit.
fn evicted(pod: &Pod) -> ConditionResult {
    let message = pod
        .status
        .as_ref()
        .and_then(|status| status.message.as_deref());
    // The rest has quantities, which differ each time.
    let cause = message
        .and_then(|message| message.split(". ").next())
        .unwrap_or_default();
    let cause = cause.trim_end_matches(['.', ' ']);
    let remedy = if cause.contains("ephemeral") {
        "Set spec.model.maxSizeMebibytes to the size of the model: the limit of each container is twice that plus 1 GiB."
    } else if cause.contains("memory") {
        "Set spec.server.resources.requests.memory to the memory that a pod needs, so that nodes aren't overcommitted."
    } else {
        "See `kubectl describe node` for the resource that the node lacks."
    };
    ConditionResult::no(
        Reason::PodsEvicted,
        format!("A node evicted a pod: {cause}. {remedy}"),
    )
}

/// A pod that was killed and serves again.
fn out_of_memory(pod: &Pod) -> Option<(Timestamp, ConditionResult)> {
    let server = pods::server_status(pod).filter(|server| server.ready)?;
    let ended = server.last_state.as_ref()?.terminated.as_ref()?;
    let at = ended.finished_at.as_ref()?.0;
    (ended.reason.as_deref() == Some("OOMKilled")).then(|| {
        let message = "A serving pod was killed because it exceeded its memory limit. Raise spec.server.resources.limits.memory.";
        (at, ConditionResult::no(Reason::OutOfMemory, message))
    })
}
