//! The objects of a ModelService, one file each.

mod annotations;
mod behavior;
mod container;
mod cron_trigger;
mod deployment;
mod horizontal_pod_autoscaler;
mod model_source;
mod pod_disruption_budget;
mod pod_security;
pub(crate) mod rollout;
mod scaled_object;
mod scheduling;
mod service;
mod volumes;

pub(crate) use annotations::model_annotations;
pub(crate) use container::EPHEMERAL_STORAGE;
pub use container::{FETCH_CONTAINER, SERVER_CONTAINER};
pub(crate) use deployment::pod_template;
pub(crate) use model_source::ModelSource;

use crate::{
    autoscaling::ActiveAutoscaler, child::Child, observed::Observed, settings::OperatorSettings,
    spec::ValidatedModelService,
};

/// All objects that the spec requests and the cluster supports, in the order of their application.
pub(crate) fn build(
    model_service: &ValidatedModelService,
    active: &ActiveAutoscaler<'_>,
    observed: &Observed,
    settings: &OperatorSettings,
) -> Vec<Child> {
    let max_replicas = active.max_replicas(observed);
    let replicas = active.min_replicas(observed.at)..=max_replicas;
    let autoscaler = match active {
        ActiveAutoscaler::Hpa(effective) => Some(Child::HorizontalPodAutoscaler(Box::new(
            horizontal_pod_autoscaler::build(model_service, effective, &replicas),
        ))),
        ActiveAutoscaler::Keda(effective) if observed.capabilities.keda => {
            Some(Child::ScaledObject(Box::new(scaled_object::build(
                model_service,
                effective,
                max_replicas,
                settings,
                observed.at,
            ))))
        }
        ActiveAutoscaler::Keda(_) | ActiveAutoscaler::Fixed { .. } => None,
    };
    [
        Child::Service(Box::new(service::build(model_service))),
        Child::PodDisruptionBudget(Box::new(pod_disruption_budget::build(model_service))),
        Child::Deployment(Box::new(deployment::build(
            model_service,
            observed,
            settings,
        ))),
    ]
    .into_iter()
    .chain(autoscaler)
    .collect()
}
