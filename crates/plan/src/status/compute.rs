//! Computes the status of a ModelService.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use springtide_api::{
    ModelService, ModelServiceStatus,
    status::{AutoscalingStatus, Decision, ModelStatus, condition},
};
use springtide_contract::text::plain;

use crate::{
    apply::{Applied, Failure},
    autoscaling::{ActiveAutoscaler, memory::at_rest_mebibytes},
    desired::Desired,
    labels,
    observed::{Observed, foreign_status::status_condition},
    spec::{Invalid, ValidatedModelService},
    status::{
        batching::model_status,
        conditions::{ConditionResult, ConditionStatus, StatusContext, evaluate, replacement},
        decisions::decisions,
    },
    upgrades::served_image,
};

/// Maximum bytes of a condition's message. The limit of Kubernetes is 32768.
const MAX_MESSAGE_BYTES: usize = 2048;

/// Maximum bytes of a decision's message, as in the CRD.
const MAX_DECISION_BYTES: usize = 1024;

/// Maximum bytes of an image, as in the CRD.
const MAX_IMAGE_BYTES: usize = 1024;

/// Computes the status of a ModelService. `previous` is the previous status: unchanged conditions keep their transition
/// time, and decisions that can no longer be observed are kept.
#[must_use]
pub fn status(
    model_service: &ValidatedModelService,
    applied: &Applied,
    desired: &Desired,
    previous: Option<&ModelServiceStatus>,
    now: Timestamp,
) -> ModelServiceStatus {
    let observed = applied.observed();
    let model = model_status(model_service, applied.replies(), previous);
    let active = model_service.scaling().resolve(observed);
    let context = StatusContext {
        model_service,
        active: &active,
        applied,
        observed,
        desired,
        model: &model,
        previous,
        now,
    };
    let results = evaluate(&context);
    let rollout_ends = has_become_true(condition::ROLLOUT_COMPLETE, &results, previous);
    let replaced = results
        .iter()
        .filter(|(kind, _)| *kind == condition::ROLLOUT_COMPLETE)
        .find_map(|(_, result)| replacement(model_service, applied.replies(), result));
    let deployment = observed
        .deployment
        .as_ref()
        .and_then(|deployment| deployment.status.as_ref());
    ModelServiceStatus {
        observed_generation: Some(model_service.generation()),
        conditions: conditions(results, model_service.generation(), previous, now),
        replicas: Some(
            deployment
                .and_then(|status| status.replicas)
                .unwrap_or_default(),
        ),
        ready_replicas: Some(
            deployment
                .and_then(|status| status.ready_replicas)
                .unwrap_or_default(),
        ),
        desired_replicas: desired_replicas(&active, observed),
        autoscaling: Some(autoscaling(&active, observed, decisions(&context))),
        model: Some(ModelStatus {
            replacement_sha256: replaced
                .map(|sha256| sha256.as_str().to_owned())
                .or(model.replacement_sha256),
            memory_at_rest_mebibytes: at_rest_mebibytes(
                model_service,
                applied.replies(),
                rollout_ends,
            ),
            ..model
        }),
        last_valid: Some(model_service.last_valid()),
        image: observed
            .deployment
            .as_ref()
            .and_then(served_image)
            .map(|image| plain(image, MAX_IMAGE_BYTES).into_owned()),
        selector: Some(labels::selector_text(model_service.name())),
        url: Some(model_service.url()),
    }
}

/// Whether a condition is true, and wasn't before.
fn has_become_true(
    kind: &str,
    results: &[(&str, ConditionResult)],
    previous: Option<&ModelServiceStatus>,
) -> bool {
    let is_true = |(_, result): &(&str, ConditionResult)| result.status == ConditionStatus::True;
    let known = previous.and_then(|previous| status_condition(previous, kind));
    let was_true = known.is_some_and(|known| known.status == ConditionStatus::True.as_str());
    !was_true && results.iter().any(|it| it.0 == kind && is_true(it))
}

/// The status if the current spec is invalid. `status` is the status of the last valid spec
/// ([`ValidatedModelService::from_last_valid`]).
#[must_use]
pub fn last_valid_status(
    status: ModelServiceStatus,
    model_service: &ModelService,
    invalid: &Invalid,
    previous: Option<&ModelServiceStatus>,
    now: Timestamp,
) -> ModelServiceStatus {
    let generation = model_service.metadata.generation.unwrap_or_default();
    let last_valid = status.observed_generation.unwrap_or_default();
    let mut conditions = status.conditions;
    for ready in &mut conditions {
        if ready.type_ != condition::READY {
            continue;
        }
        let other = if ready.status == ConditionStatus::True.as_str() {
            String::new()
        } else {
            format!(" Its state: {}", ready.message)
        };
        let result = ConditionResult::no(
            invalid.reason(),
            format!(
                "{invalid}. The last valid spec, generation {last_valid}, stays in effect.{other}"
            ),
        );
        let judged = self::conditions(vec![(condition::READY, result)], generation, previous, now);
        if let Some(judged) = judged.into_iter().next() {
            *ready = judged;
        }
    }
    ModelServiceStatus {
        observed_generation: Some(generation),
        conditions,
        ..status
    }
}

/// The status if the spec is invalid, and no valid one is known. Existing objects continue to serve, so the replica
/// counts of `previous` are kept.
#[must_use]
pub fn invalid_spec_status(
    model_service: &ModelService,
    invalid: &Invalid,
    previous: Option<&ModelServiceStatus>,
    now: Timestamp,
) -> ModelServiceStatus {
    let generation = model_service.metadata.generation.unwrap_or_default();
    let results = condition::ALL
        .into_iter()
        .map(|kind| {
            let result = if kind == condition::READY {
                ConditionResult::no(invalid.reason(), format!("{invalid}."))
            } else {
                ConditionResult::unknown(invalid.reason(), "The spec is invalid.")
            };
            (kind, result)
        })
        .collect();
    ModelServiceStatus {
        observed_generation: Some(generation),
        conditions: conditions(results, generation, previous, now),
        ..previous.cloned().unwrap_or_default()
    }
}

/// The status if the state could not be observed, because of `failure`. All conditions except `Ready` keep their
/// `previous` state.
#[must_use]
pub fn observation_failed_status(
    model_service: &ModelService,
    failure: &Failure,
    previous: Option<&ModelServiceStatus>,
    now: Timestamp,
) -> ModelServiceStatus {
    let results = condition::ALL
        .into_iter()
        .map(|kind| {
            let result = ConditionResult::unknown(failure.reason.clone(), failure.message.clone());
            (kind, result)
        })
        .collect();
    let generation = model_service.metadata.generation.unwrap_or_default();
    let conditions = conditions(results, generation, previous, now)
        .into_iter()
        .map(|unknown| {
            let known = previous.and_then(|previous| status_condition(previous, &unknown.type_));
            let known = known.filter(|known| known.type_ != condition::READY);
            known.cloned().unwrap_or(unknown)
        })
        .collect();
    ModelServiceStatus {
        conditions,
        ..previous.cloned().unwrap_or_default()
    }
}

/// The replicas that the active autoscaler asks for.
fn desired_replicas(active: &ActiveAutoscaler<'_>, observed: &Observed) -> Option<i32> {
    let hpa = match active {
        ActiveAutoscaler::Fixed { replicas } => return Some(*replicas),
        ActiveAutoscaler::Hpa(_) => &observed.horizontal_pod_autoscaler,
        ActiveAutoscaler::Keda(_) => &observed.keda_horizontal_pod_autoscaler,
    };
    // An HPA that hasn't decided yet has 0.
    let asked_by_hpa = hpa
        .as_ref()
        .and_then(|hpa| hpa.status.as_ref())
        .map(|status| status.desired_replicas)
        .filter(|replicas| *replicas > 0);
    asked_by_hpa.or_else(|| observed.deployment.as_ref()?.spec.as_ref()?.replicas)
}

/// The active autoscaler and its bounds.
fn autoscaling(
    active: &ActiveAutoscaler<'_>,
    observed: &Observed,
    decisions: Vec<Decision>,
) -> AutoscalingStatus {
    AutoscalingStatus {
        engine: active.engine(),
        min_replicas: active.min_replicas(observed.at),
        max_replicas: active.max_replicas(observed),
        decisions: decisions
            .into_iter()
            .map(|decision| Decision {
                message: plain(&decision.message, MAX_DECISION_BYTES).into_owned(),
                ..decision
            })
            .collect(),
    }
}

fn conditions(
    results: Vec<(&'static str, ConditionResult)>,
    generation: i64,
    previous: Option<&ModelServiceStatus>,
    now: Timestamp,
) -> Vec<Condition> {
    results
        .into_iter()
        .map(|(kind, result)| {
            let status = result.status.as_str();
            let unchanged_since = previous
                .and_then(|previous| status_condition(previous, kind))
                .filter(|before| before.status == status)
                .map(|before| before.last_transition_time.clone());
            Condition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: result.reason,
                message: plain(&result.message, MAX_MESSAGE_BYTES).into_owned(),
                observed_generation: Some(generation),
                last_transition_time: unchanged_since.unwrap_or(Time(now)),
            }
        })
        .collect()
}
