//! The state of pods.

use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStatus, Pod},
    jiff::SignedDuration,
};
use springtide_contract::termination::TerminationMessage;

use crate::{
    labels,
    observed::{Observed, foreign_status::pod_condition},
    resources::{FETCH_CONTAINER, SERVER_CONTAINER, model_annotations},
    spec::ValidatedModelService,
};

/// The pods that serve or may do so later, sorted by name. Pods that are being deleted or have ended (evicted, or lost
/// with their node) are excluded.
pub(crate) fn live(observed: &Observed) -> Vec<&Pod> {
    let has_ended = |pod: &Pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Failed" | "Succeeded"))
    };
    let mut pods = observed
        .pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod))
        .collect::<Vec<_>>();
    pods.sort_by_key(|pod| pod.metadata.name.as_deref());
    pods
}

/// The [`live`] pods of the model in the spec.
pub(crate) fn of_this_model<'a>(
    observed: &'a Observed,
    model_service: &ValidatedModelService,
) -> Vec<&'a Pod> {
    let wanted = model_annotations(model_service);
    let annotation = |pod: &'a Pod, key: &str| {
        pod.metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(key))
    };
    let mut pods = live(observed);
    pods.retain(|pod| {
        [labels::MODEL_URI, labels::MODEL_SHA256]
            .iter()
            .all(|key| annotation(pod, key) == wanted.get(*key))
    });
    pods
}

/// Whether the pod is or ever was ready. The kubelet reports an unready pod when it first sees it, and then reports
/// only changes.
pub(crate) fn has_served(pod: &Pod) -> bool {
    const FIRST_REPORT: SignedDuration = SignedDuration::from_secs(1);
    let Some(ready) = pod_condition(pod, "Ready") else {
        return false;
    };
    let times = ready.last_transition_time.as_ref().zip(
        pod.status
            .as_ref()
            .and_then(|status| status.start_time.as_ref()),
    );
    ready.status == "True"
        || times.is_none_or(|(changed, seen)| changed.0.duration_since(seen.0) > FIRST_REPORT)
}

/// Whether the pod has its model and serves.
pub(crate) fn is_serving(pod: &Pod) -> bool {
    server_status(pod).is_some_and(|server| server.ready)
}

/// Status of the container that serves.
pub(crate) fn server_status(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses
        .iter()
        .find(|status| status.name == SERVER_CONTAINER)
}

/// Status of the container that fetches the model.
pub(crate) fn fetch_status(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.init_container_statuses.as_ref()?;
    statuses
        .iter()
        .find(|status| status.name == FETCH_CONTAINER)
}

/// Why the pod doesn't have its model, according to its containers. A failure holds until its container has made
/// further progress.
pub(crate) fn model_failure(pod: &Pod) -> Option<TerminationMessage> {
    fetch_failure(pod).or_else(|| {
        server_status(pod)
            .filter(|status| !status.ready)
            .and_then(termination_message)
    })
}

/// Why the container that fetches the model has failed.
pub(crate) fn fetch_failure(pod: &Pod) -> Option<TerminationMessage> {
    fetch_status(pod)
        .filter(|status| !has_succeeded(status))
        .and_then(termination_message)
}

/// The kubelet's message about a missing Secret, ConfigMap or key, without which it doesn't start a container. Its
/// other messages about a container's configuration contain the pod's UID.
pub(crate) fn missing_object(status: &ContainerStatus) -> Option<&str> {
    const BEGINNINGS: [&str; 3] = ["secret \"", "configmap \"", "couldn't find key "];
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref()?;
    let is_missing = waiting.reason.as_deref() == Some("CreateContainerConfigError")
        && BEGINNINGS
            .iter()
            .any(|beginning| message.starts_with(beginning));
    is_missing.then_some(message)
}

fn has_succeeded(status: &ContainerStatus) -> bool {
    terminated(status.state.as_ref()).is_some_and(|(exit_code, _)| exit_code == 0)
}

/// The termination message of the container's last failure.
fn termination_message(status: &ContainerStatus) -> Option<TerminationMessage> {
    [status.state.as_ref(), status.last_state.as_ref()]
        .into_iter()
        .filter_map(terminated)
        .filter(|(exit_code, _)| *exit_code != 0)
        .find_map(|(_, message)| serde_json::from_str(message?).ok())
}

fn terminated(state: Option<&ContainerState>) -> Option<(i32, Option<&str>)> {
    let terminated = state?.terminated.as_ref()?;
    Some((terminated.exit_code, terminated.message.as_deref()))
}
