//! The conditions of a ModelService, one file each.
//!
//! Messages are deterministic: they never hold generated names, counts that change on every look or
//! times, since a status that always changes would bring the next pass about for ever.

mod autoscaling_ready;
mod batching_safe;
mod blocked;
mod due;
mod finding;
mod lost;
mod metrics_healthy;
mod model_loaded;
mod models_differ;
mod ready;
mod reason;
mod refusal;
mod rollout_complete;
mod workload_available;

use k8s_openapi::jiff::Timestamp;
use springtide_api::{ModelServiceStatus, status::condition};

pub(crate) use self::{
    finding::{ConditionResult, ConditionStatus, StatusContext},
    models_differ::replacement,
    reason::{Reason, others},
};

use crate::{
    autoscaling::memory,
    child::ChildKind,
    observed::{Observed, awaited, stuck},
    resources::rollout,
    spec::ValidatedModelService,
    status::batching,
};

/// The reason of a [`Failure`](crate::Failure) where others undo what the operator writes.
pub const WRITES_UNDONE: &str = Reason::WritesUndone.as_str();

/// When the conditions may change although nothing else does: when readings that are missing have had
/// their time to come, an object that is being deleted its time to go, KEDA its time to look at a ScaledObject, a pod its time to start a container, when a pod may have found that
/// batches mix what they must not, or is to say what it takes at rest. `status` is what was made of the same observation.
#[must_use]
pub fn look_again_at(
    model_service: &ValidatedModelService,
    observed: &Observed,
    status: &ModelServiceStatus,
    now: Timestamp,
) -> Option<Timestamp> {
    let deletions = ChildKind::ALL
        .into_iter()
        .filter_map(|kind| due::deletion_due(observed.metadata(kind)?));
    due::readings_due(&model_service.scaling().resolve(observed), observed)
        .into_iter()
        .chain(deletions)
        .chain(due::taking_up_due(observed))
        .filter(|due| *due > now)
        .chain(stuck::look_again_at(observed, now))
        .chain(rollout::look_again_at(observed, now))
        .chain(lost::look_again_at(observed, now))
        .chain(batching::look_again_at(
            model_service,
            observed,
            status,
            now,
        ))
        .chain(awaited::look_again_at(model_service, observed, now))
        .chain(memory::look_again_at(model_service, observed, status, now))
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
