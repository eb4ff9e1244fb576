//! The PodDisruptionBudget: a drain evicts one pod at a time, and is never blocked indefinitely.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{labels, spec::ValidatedModelService};

pub(super) fn build(model_service: &ValidatedModelService) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: model_service.child_metadata(),
        spec: Some(PodDisruptionBudgetSpec {
            // A minimum would block every drain indefinitely if there are no more pods than that.
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(labels::selector(model_service.name())),
            // Pods that don't serve, such as those that can't load their model, would otherwise exhaust the budget and
            // block drains.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
