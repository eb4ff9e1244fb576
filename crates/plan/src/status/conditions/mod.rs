//! The conditions of a ModelService, one file each.
//!
//! Messages are deterministic. They never contain generated names, times, or counts that change in every reconcile: a
//! status that always changes would trigger reconciles endlessly.

mod autoscaling_ready;
mod batching_safe;
mod blocked;
mod context;
mod disruption;
mod grace_period;
mod metrics_healthy;
mod model_loaded;
mod models_differ;
mod pod_rejection;
mod ready;
mod reason;
mod rollout_complete;
mod workload_available;

use k8s_openapi::jiff::Timestamp;
use springtide_api::{ModelServiceStatus, status::condition};

pub(crate) use self::{
    context::{ConditionResult, ConditionStatus, StatusContext},
    models_differ::replacement,
    reason::{Reason, foreign_reason},
};

use crate::{
    apply::Applied,
    autoscaling::memory,
    child::ChildKind,
    observed::{config_map_wait, pod_startup},
    resources::rollout,
    spec::ValidatedModelService,
    status::batching,
};

/// The reason of a [`Failure`](crate::Failure) if other clients revert the operator's writes.
pub const WRITES_UNDONE: &str = Reason::WritesUndone.as_str();

/// The next time at which the plan or the conditions may change although no object does. A schedule starts or ends, a
/// grace period ends (of readings, deletions, KEDA or starting pods), or pods are to be queried again. `status` is
/// computed from the same `applied`.
#[must_use]
pub fn requeue_at(
    model_service: &ValidatedModelService,
    applied: &Applied,
    status: &ModelServiceStatus,
    now: Timestamp,
) -> Option<Timestamp> {
    let observed = applied.observed();
    let active = model_service.scaling().resolve(observed);
    let deletions = ChildKind::ALL
        .into_iter()
        .filter_map(|kind| grace_period::deletion_deadline(observed.metadata(kind)?));
    grace_period::readings_deadline(&active, observed)
        .into_iter()
        .chain(deletions)
        .chain(grace_period::adoption_deadline(observed))
        .filter(|due| *due > now)
        .chain(pod_startup::requeue_at(observed, now))
        .chain(rollout::requeue_at(observed, now))
        .chain(disruption::requeue_at(observed, now))
        .chain(batching::requeue_at(
            model_service,
            applied.replies(),
            status,
            now,
        ))
        .chain(config_map_wait::requeue_at(model_service, observed, now))
        .chain(memory::requeue_at(model_service, applied, status, now))
        .chain(active.next_change(now))
        .min()
}

/// All conditions by type, in the order of [`condition::ALL`].
pub(crate) fn evaluate(context: &StatusContext<'_>) -> Vec<(&'static str, ConditionResult)> {
    let model_loaded = model_loaded::evaluate(context);
    let workload_available = workload_available::evaluate(context);
    let autoscaling_ready = autoscaling_ready::evaluate(context);
    let rollout_complete = models_differ::evaluate(context, rollout_complete::evaluate(context));
    let ready = ready::summarise([
        (condition::MODEL_LOADED, &model_loaded),
        (condition::WORKLOAD_AVAILABLE, &workload_available),
        (condition::AUTOSCALING_READY, &autoscaling_ready),
        (condition::ROLLOUT_COMPLETE, &rollout_complete),
    ]);
    vec![
        (condition::READY, ready),
        (condition::MODEL_LOADED, model_loaded),
        (condition::WORKLOAD_AVAILABLE, workload_available),
        (condition::AUTOSCALING_READY, autoscaling_ready),
        (
            condition::METRICS_HEALTHY,
            metrics_healthy::evaluate(context),
        ),
        (condition::BATCHING_SAFE, batching_safe::evaluate(context)),
        (condition::ROLLOUT_COMPLETE, rollout_complete),
    ]
}
