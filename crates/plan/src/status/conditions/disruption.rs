//! Why pods went, or were restarted, that served or were to serve.

use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};

use super::{ConditionResult, Reason};
use crate::observed::{Observed, foreign_status::pod_condition, pods};

/// For how long after a pod was lost it is told. What loses pods again and again does so more often.
const RECENT: SignedDuration = SignedDuration::from_mins(10);

/// What the latest loss was, if it is recent.
pub(super) fn recent(observed: &Observed, now: Timestamp) -> Option<ConditionResult> {
    let all = observed.pods.iter().filter_map(loss);
    let recent = all.filter(|(at, _)| now.duration_since(*at) < RECENT);
    recent
        .max_by(|(at, one), (other_at, other)| (at, &one.message).cmp(&(other_at, &other.message)))
        .map(|(_, result)| result)
}

/// When the latest loss is long enough ago.
pub(super) fn requeue_at(observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    let latest = observed
        .pods
        .iter()
        .filter_map(loss)
        .map(|(at, _)| at)
        .max();
    latest?.checked_add(RECENT).ok().filter(|over| *over > now)
}

/// When the pod was lost, and why.
fn loss(pod: &Pod) -> Option<(Timestamp, ConditionResult)> {
    disruption(pod).or_else(|| out_of_memory(pod))
}

/// A pod that was ended by others (<https://kubernetes.io/docs/concepts/workloads/pods/disruptions/>).
fn disruption(pod: &Pod) -> Option<(Timestamp, ConditionResult)> {
    let condition = pod_condition(pod, "DisruptionTarget").filter(|it| it.status == "True")?;
    let at = condition.last_transition_time.as_ref()?.0;
    let result = match condition.reason.as_deref()? {
        "TerminationByKubelet" => evicted(pod),
        "PreemptionByScheduler" => ConditionResult::no(
            Reason::PodsPreempted,
            "A pod had to go for one of higher priority.",
        ),
        "EvictionByEvictionAPI" => ConditionResult::no(
            Reason::PodsEvicted,
            "A pod was evicted by a request, such as of `kubectl drain` or an autoscaler of nodes.",
        ),
        "DeletionByTaintManager" => ConditionResult::no(
            Reason::NodeLost,
            "A pod had to leave its node, which has a taint that it doesn't tolerate, such as of one that is not ready or not reachable.",
        ),
        "DeletionByPodGC" => ConditionResult::no(Reason::NodeLost, "A pod went with its node."),
        _ => return None,
    };
    Some((at, result))
}

/// The kubelet ended the pod to save its node, or since it used more than it may.
fn evicted(pod: &Pod) -> ConditionResult {
    let message = pod
        .status
        .as_ref()
        .and_then(|status| status.message.as_deref());
    // What follows are quantities, which differ each time.
    let cause = message
        .and_then(|message| message.split(". ").next())
        .unwrap_or_default();
    let cause = cause.trim_end_matches(['.', ' ']);
    let remedy = if cause.contains("ephemeral") {
        "Set spec.model.maxSizeMebibytes to the size of the model: the limit of each container is twice that, and 1 GiB more."
    } else if cause.contains("memory") {
        "Set spec.server.resources.requests.memory to what a pod needs, so that nodes aren't overcommitted."
    } else {
        "`kubectl describe node` says what the node lacks."
    };
    ConditionResult::no(
        Reason::PodsEvicted,
        format!("A node has evicted a pod: {cause}. {remedy}"),
    )
}

/// A pod that serves again after it was killed.
fn out_of_memory(pod: &Pod) -> Option<(Timestamp, ConditionResult)> {
    let server = pods::server(pod).filter(|server| server.ready)?;
    let ended = server.last_state.as_ref()?.terminated.as_ref()?;
    let at = ended.finished_at.as_ref()?.0;
    (ended.reason.as_deref() == Some("OOMKilled")).then(|| {
        let message = "A pod was killed while it served, since it needed more memory than it may have. Raise spec.server.resources.limits.memory.";
        (at, ConditionResult::no(Reason::OutOfMemory, message))
    })
}
