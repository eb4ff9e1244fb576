//! `SoleOperator`: the condition of an operator that leaves a ModelService to another operator. The acting operator
//! doesn't write it.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use springtide_api::{ModelService, ModelServiceStatus, status::condition};

use crate::{
    observed::foreign_status::status_condition,
    status::conditions::{ConditionStatus, Reason},
};

/// The conditions for the operator `us` to apply as [`YIELDING`](crate::apply::field_manager::YIELDING). There is one
/// if it leaves the ModelService to another operator, and none if it no longer does. `None` if nothing has to be
/// applied.
#[must_use]
pub fn yielding(
    model_service: &ModelService,
    us: &str,
    to: Option<&str>,
    now: Timestamp,
) -> Option<Vec<Condition>> {
    let begins = format!("Operator {us} ");
    let previous = model_service
        .status
        .as_ref()
        .and_then(|status| status_condition(status, condition::SOLE_OPERATOR))
        .filter(|known| known.message.starts_with(&begins));
    let Some(to) = to else {
        return previous.map(|_| Vec::new());
    };
    let message = format!(
        "{begins}also watches this namespace and leaves the ModelService to operator {to}. To choose the operator, give one of them another operatorClass in its chart, and set spec.operatorClass."
    );
    let is_unchanged = previous.is_some_and(|previous| previous.message == message);
    (!is_unchanged).then(|| {
        vec![Condition {
            type_: condition::SOLE_OPERATOR.to_owned(),
            status: ConditionStatus::False.as_str().to_owned(),
            reason: Reason::AnotherOperator.as_str().to_owned(),
            message,
            observed_generation: model_service.metadata.generation,
            last_transition_time: Time(now),
        }]
    })
}

/// A status without the conditions of other operators.
#[must_use]
pub fn own_status(status: &ModelServiceStatus) -> ModelServiceStatus {
    let mut own = status.clone();
    own.conditions
        .retain(|known| known.type_ != condition::SOLE_OPERATOR);
    own
}
