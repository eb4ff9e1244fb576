//! Pods that are scheduled but don't start their first container.
//!
//! The conditions and containers of such a pod don't have the cause. Only events do: the kubelet's, and those of the
//! controller that attaches volumes.

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Event, Pod},
    jiff::{SignedDuration, Timestamp},
};
use springtide_api::ModelUri;

use crate::{
    observed::{Observed, foreign_status::pod_condition, pods},
    spec::ValidatedModelService,
};

/// Time from scheduling until the first container starts or pulls its image. Volumes are attached and mounted in that
/// time. After it, the pod counts as stuck, and its events are read.
const STARTUP_GRACE_PERIOD: SignedDuration = SignedDuration::from_secs(30);

/// Time between two reads of a stuck pod's events. The kubelet's longest retry interval is two minutes, and each retry
/// is an event.
const POLL_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// Hexadecimal digits of a UID.
const ID_DIGITS: usize = 32;

/// Maximum bytes of an event's message in a condition.
const MAX_MESSAGE_BYTES: usize = 512;

/// Reasons of events of pods that can't start their first container
/// (<https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/events/event.go>).
const ATTACH_REASON: &str = "FailedAttachVolume";
const VOLUME_REASONS: [&str; 3] = ["FailedMount", ATTACH_REASON, "FailedMapVolume"];
const SANDBOX_REASON: &str = "FailedCreatePodSandBox";

/// Message of the attach controller about a volume that is attached to another node.
const ATTACHED_ELSEWHERE: &str = "Multi-Attach error";

/// Whether the volume of a pod is attached to another node. It stays attached until the pods there end.
pub(crate) fn is_attached_elsewhere(events: &[Event]) -> bool {
    events.iter().any(|event| {
        event.reason.as_deref() == Some(ATTACH_REASON)
            && event
                .message
                .as_deref()
                .is_some_and(|message| message.contains(ATTACHED_ELSEWHERE))
    })
}

/// Why a pod can't start its first container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StartupFailure {
    /// A volume can't be attached or mounted, with the cause.
    Volume(String),
    /// The pod sandbox, such as the network, can't be created, with the cause.
    Sandbox(String),
}

/// The UID of the stuck pod whose events are to be read, for `involvedObject.uid`. It is the first one by name: one is
/// sufficient, because all pods have the same template.
#[must_use]
pub fn stuck_pod_uid(observed: &Observed, now: Timestamp) -> Option<String> {
    let is_due = |pod: &&Pod| stuck_since(pod).is_some_and(|due| due <= now);
    let stuck = pods::live(observed).into_iter().find(is_due)?;
    stuck.metadata.uid.clone()
}

/// When a pod may become stuck, or a stuck pod may have new events.
pub(crate) fn requeue_at(observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    let due = pods::live(observed).into_iter().filter_map(stuck_since);
    let next = |due: Timestamp| {
        if due > now {
            Some(due)
        } else {
            now.checked_add(POLL_INTERVAL).ok()
        }
    };
    due.filter_map(next).min()
}

/// From when on the pod counts as stuck. `None` if it isn't scheduled yet, or if a container has a state of its own.
fn stuck_since(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let is_true = |kind| pod_condition(pod, kind).filter(|condition| condition.status == "True");
    let scheduled = is_true("PodScheduled")?.last_transition_time.as_ref()?.0;
    let containers = [&status.init_container_statuses, &status.container_statuses];
    let has_begun = is_true("PodReadyToStartContainers").is_some()
        || containers.into_iter().flatten().flatten().any(has_begun);
    if has_begun {
        return None;
    }
    scheduled.checked_add(STARTUP_GRACE_PERIOD).ok()
}

/// Whether a container was started, or waits for something of its own.
fn has_begun(status: &ContainerStatus) -> bool {
    let waits_for_its_pod = status
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref()?.reason.as_deref())
        .is_some_and(|reason| matches!(reason, "ContainerCreating" | "PodInitializing"));
    let has_ended_before = status
        .last_state
        .as_ref()
        .is_some_and(|state| state.terminated.is_some());
    !waits_for_its_pod || has_ended_before
}

/// The cause in the newest event. Events that only report a timeout count if there are no others.
pub(crate) fn startup_failure(
    model_service: &ValidatedModelService,
    events: &[Event],
) -> Option<StartupFailure> {
    let mut newest: Option<(bool, Option<Timestamp>, StartupFailure)> = None;
    for event in events {
        let message = event.message.as_deref().unwrap_or_default();
        let failure = match event.reason.as_deref() {
            Some(reason) if VOLUME_REASONS.contains(&reason) => {
                StartupFailure::Volume(volume_failure_message(model_service, message))
            }
            Some(SANDBOX_REASON) => StartupFailure::Sandbox(without_ids(message)),
            _ => continue,
        };
        let names_a_cause = !message.contains("timed out waiting for the condition");
        let rank = (names_a_cause, time(event));
        if newest
            .as_ref()
            .is_none_or(|(cause, at, _)| rank >= (*cause, *at))
        {
            newest = Some((rank.0, rank.1, failure));
        }
    }
    newest.map(|(_, _, startup_failure)| startup_failure)
}

/// When an event was last observed.
fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref();
    let micro = series
        .and_then(|series| series.last_observed_time.as_ref())
        .or(event.event_time.as_ref())
        .map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let made = event.metadata.creation_timestamp.as_ref();
    micro.max(last).or(made.map(|time| time.0))
}

fn volume_failure_message(model_service: &ValidatedModelService, message: &str) -> String {
    match model_service.model_uri() {
        ModelUri::Claim { claim, .. } if message.contains(ATTACHED_ELSEWHERE) => format!(
            "claim {claim} is attached to another node, and its volume allows only one node. Use a claim with the access mode ReadOnlyMany or ReadWriteMany, or keep the pods on one node with spec.pod.nodeSelector."
        ),
        ModelUri::Claim { claim, .. } => format!("claim {claim}: {}", without_ids(message)),
        ModelUri::ConfigMap { .. } | ModelUri::Secret { .. } | ModelUri::Http { .. } => {
            without_ids(message)
        }
    }
}

/// The text with each word truncated at a UID or at a hexadecimal number of the same length, because these differ
/// between pods and attempts.
fn without_ids(message: &str) -> String {
    let words = message.split_whitespace().map(|word| {
        let before = id_at(word).and_then(|place| word.get(..place));
        before.map_or_else(|| word.to_owned(), |before| format!("{before}…"))
    });
    let mut text = words.collect::<Vec<_>>().join(" ");
    let end = (0..=MAX_MESSAGE_BYTES.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text
}

/// The index of the first run of at least [`ID_DIGITS`] hexadecimal digits, with or without hyphens.
fn id_at(word: &str) -> Option<usize> {
    let mut run: Option<(usize, usize)> = None;
    let mut is_at_a_start = true;
    for (place, character) in word.char_indices() {
        run = match (character.is_ascii_hexdigit(), run) {
            (true, Some((begin, ID_DIGITS))) => return Some(begin),
            (true, Some((begin, count))) => Some((begin, count + 1)),
            (true, None) if is_at_a_start => Some((place, 2)),
            (false, run) if character == '-' => run,
            _ => None,
        };
        is_at_a_start = !character.is_alphanumeric();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_and_the_rest_is_kept() {
        for (message, expected) in [
            ("MountVolume.SetUp failed", "MountVolume.SetUp failed"),
            (
                "mount /var/lib/kubelet/pods/0f8fad5b-d9cb-469f-a165-70867728950e/volumes/x failed",
                "mount /var/lib/kubelet/pods/… failed",
            ),
            (
                "\"pvc-0f8fad5b-d9cb-469f-a165-70867728950e\" is gone",
                "\"pvc-… is gone",
            ),
            ("vol-0123456789abcdef0", "vol-0123456789abcdef0"),
            ("a\n\tb", "a b"),
        ] {
            assert_eq!(without_ids(message), expected);
        }
        assert!(without_ids(&"ä".repeat(10_000)).len() <= MAX_MESSAGE_BYTES);
    }
}
