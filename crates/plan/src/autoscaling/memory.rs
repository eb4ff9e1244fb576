//! Memory of a pod at rest, and whether it leaves room for a memory target.
//!
//! More pods don't reduce memory at rest. An HPA that follows a target without room adds pods up to its maximum,
//! without any request. See `docs/adr/0029-a-memory-target-without-room-is-not-followed.md`.

use k8s_openapi::{
    api::core::v1::Pod,
    apimachinery::pkg::api::resource::Quantity,
    jiff::{SignedDuration, Timestamp},
};
use springtide_api::{ModelServiceStatus, targets::Signal};

use crate::{
    apply::Applied,
    observed::{Observed, StatusReply, pods},
    quantity::mebibytes,
    quantity::{MEBI, nanos},
    spec::{
        Scaling, ValidatedModelService,
        memory_at_rest::{MemoryAtRest, REPORT_TIMEOUT, loaded_since},
    },
};

/// Tolerance of an HPA in percent of the target (`--horizontal-pod-autoscaler-tolerance`). With memory at rest above
/// the target less the tolerance, pods of a burst would never be removed.
const TOLERANCE_PERCENT: i128 = 10;

/// Time for which a first pod may load its model while memory is already followed. The first reading of a container
/// comes later: the kubelet measures every 10 s, and metrics-server and the HPA sync every 15 s.
const FAST_LOAD: SignedDuration = SignedDuration::from_secs(5);

/// Time until pods that didn't respond are queried again.
const RETRY_INTERVAL: SignedDuration = SignedDuration::from_secs(5);

/// Time until a first report reaches the autoscaler.
const REQUEUE_DELAY: SignedDuration = SignedDuration::from_secs(1);

/// Rounding step of memory at rest in the status, in MiB. Pods differ slightly, and each change is a write.
const STEP_MEBIBYTES: u64 = 4;

/// Maximum plausible value in MiB: 16 TiB.
const MAX_MEBIBYTES: u64 = 16 << 20;

/// Whether the memory target is followed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MemoryTarget {
    /// Yes, if there is one.
    Followed,
    /// Not until a pod has reported its memory at rest.
    Pending,
    /// No: memory at rest leaves no room below it.
    NoHeadroom(NoHeadroom),
}

/// Memory at rest that leaves no room below the target.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NoHeadroom {
    /// Memory of a pod at rest, in MiB.
    pub(crate) at_rest_mebibytes: i32,
    /// The target, in percent of the request.
    pub(crate) percent: i32,
    /// The memory request.
    pub(crate) request: Quantity,
    /// A request that would leave room.
    pub(crate) sufficient_request: Quantity,
    /// Whether the limit is below the sufficient request.
    pub(crate) exceeds_limit: bool,
}

/// Whether a target, in percent of the request, is followed for this observed state.
pub(crate) fn target(
    memory: &MemoryAtRest,
    percent: Option<i32>,
    observed: &Observed,
) -> MemoryTarget {
    let Some(percent) = percent else {
        return MemoryTarget::Followed;
    };
    match memory.at_rest_mebibytes {
        Some(at_rest) => no_headroom(memory, at_rest, percent)
            .map_or(MemoryTarget::Followed, MemoryTarget::NoHeadroom),
        None if is_report_pending(memory, observed) => MemoryTarget::Pending,
        None => MemoryTarget::Followed,
    }
}

fn no_headroom(memory: &MemoryAtRest, at_rest_mebibytes: i32, percent: i32) -> Option<NoHeadroom> {
    let request = nanos(&memory.request.0)?;
    let at_rest = i128::from(at_rest_mebibytes) * MEBI;
    // A request has no upper bound.
    let room = request.saturating_mul(i128::from(percent) * (100 - TOLERANCE_PERCENT));
    let is_full = at_rest * 100 * 100 >= room;
    is_full.then(|| {
        let sufficient_request = mebibytes(sufficient_mebibytes(at_rest_mebibytes, percent));
        NoHeadroom {
            at_rest_mebibytes,
            percent,
            request: memory.request.clone(),
            exceeds_limit: memory
                .limit
                .as_ref()
                .is_some_and(|limit| nanos(&sufficient_request.0) > nanos(&limit.0)),
            sufficient_request,
        }
    })
}

/// Whether a pod's report is awaited before memory is followed. If memory is already followed, or is first followed in
/// this reconcile, it stays so while a first pod loads its model quickly, and while pods serve.
fn is_report_pending(memory: &MemoryAtRest, observed: &Observed) -> bool {
    if memory
        .report_deadline
        .is_some_and(|until| until <= observed.at)
    {
        return false;
    }
    match follows_memory(observed) {
        Some(false) => true,
        Some(true) | None => slow_load_from(observed).is_some_and(|from| from <= observed.at),
    }
}

/// A rounded request for which memory at rest is at most two thirds of the target. Then pods of a burst are removed
/// again, down to two.
fn sufficient_mebibytes(at_rest_mebibytes: i32, percent: i32) -> i32 {
    let min_mebibytes = i64::from(at_rest_mebibytes) * 300 / (i64::from(percent).max(1) * 2) + 1;
    let step = match min_mebibytes {
        ..1024 => 64,
        1024..8192 => 256,
        _ => 1024,
    };
    let rounded = (min_mebibytes + step - 1) / step * step;
    i32::try_from(rounded).unwrap_or(i32::MAX / 1024 * 1024)
}

/// Whether an autoscaler of the ModelService follows memory. `None` if there is no autoscaler.
fn follows_memory(observed: &Observed) -> Option<bool> {
    let hpa = observed.horizontal_pod_autoscaler.as_ref().map(|hpa| {
        let metrics = hpa
            .spec
            .iter()
            .flat_map(|spec| spec.metrics.iter().flatten());
        let mut names = metrics.filter_map(|metric| {
            let of_container = metric.container_resource.as_ref().map(|it| &it.name);
            of_container.or(metric.resource.as_ref().map(|it| &it.name))
        });
        names.any(|name| name == "memory")
    });
    let scaled_object = observed.scaled_object.as_ref().map(|object| {
        let mut triggers = object.spec.triggers.iter();
        triggers.any(|trigger| trigger.kind == "memory")
    });
    hpa.into_iter()
        .chain(scaled_object)
        .reduce(|one, other| one || other)
}

/// The time at which a first pod has loaded its model for longer than [`FAST_LOAD`]. `None` if any pod serves.
fn slow_load_from(observed: &Observed) -> Option<Timestamp> {
    let live = pods::live(observed);
    if live.iter().any(|pod| pods::is_serving(pod)) {
        return None;
    }
    let started_at = live.into_iter().filter_map(server_started_at).min()?;
    started_at.checked_add(FAST_LOAD).ok()
}

fn server_started_at(pod: &Pod) -> Option<Timestamp> {
    let state = pods::server_status(pod)?.state.as_ref()?;
    Some(state.running.as_ref()?.started_at.as_ref()?.0)
}

/// Memory at rest for the status: the maximum that any pod has reported since the last rollout completed. Until all
/// pods of a new rollout have taken over, reports of previous pods count.
pub(crate) fn at_rest_mebibytes(
    model_service: &ValidatedModelService,
    replies: &[StatusReply],
    rollout_ends: bool,
) -> Option<i32> {
    let reported = replies.iter().filter_map(|reply| match reply {
        StatusReply::Status(server) => server.memory?.at_rest_bytes,
        StatusReply::Unreadable | StatusReply::Unreachable => None,
    });
    let reported = reported.max().map(in_steps);
    let known = model_service.memory_at_rest_mebibytes();
    if rollout_ends {
        reported.or(known)
    } else {
        reported.max(known)
    }
}

fn in_steps(bytes: u64) -> i32 {
    let mebibytes = bytes.div_ceil(1 << 20).min(MAX_MEBIBYTES);
    i32::try_from(mebibytes.next_multiple_of(STEP_MEBIBYTES)).unwrap_or(i32::MAX)
}

/// The next time at which memory at rest, or its effect, may change although no object does. `status` is computed from
/// the same observed state.
pub(crate) fn requeue_at(
    model_service: &ValidatedModelService,
    applied: &Applied,
    status: &ModelServiceStatus,
    now: Timestamp,
) -> Option<Timestamp> {
    let has_target = match model_service.scaling() {
        Scaling::Autoscaled(pods) => pods.targets.of(Signal::MemoryUtilizationPercent).is_some(),
        Scaling::Fixed { .. } => false,
    };
    let model = status.model.as_ref()?;
    let reported = model.memory_at_rest_mebibytes;
    if !has_target {
        return None;
    }
    let after = |time: SignedDuration| now.checked_add(time).ok();
    if reported != model_service.memory_at_rest_mebibytes() {
        return after(REQUEUE_DELAY);
    }
    if reported.is_some() {
        return None;
    }
    // A pod that has responded without a value won't report one later.
    let is_silent =
        model.batching.is_none() && applied.replies().contains(&StatusReply::Unreachable);
    let timeout_ends =
        loaded_since(status).and_then(|since| since.checked_add(REPORT_TIMEOUT).ok());
    let asks = timeout_ends.filter(|ends| *ends > now && is_silent);
    let loads = slow_load_from(applied.observed()).filter(|from| *from > now);
    asks.and_then(|_| after(RETRY_INTERVAL))
        .into_iter()
        .chain(loads)
        .min()
}

#[cfg(test)]
mod tests;
