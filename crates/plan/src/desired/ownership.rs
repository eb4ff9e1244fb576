//! Whether an object belongs to a ModelService.

use k8s_openapi::{
    api::autoscaling::v2::HorizontalPodAutoscaler,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::Resource;
use springtide_api::ModelService;

use crate::{child::ChildKind, labels, observed::Observed, spec::ValidatedModelService};

/// Whether an object belongs to a ModelService.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The object doesn't exist.
    Absent,
    /// It belongs to the ModelService, or it is an orphan of one with the same name (`kubectl delete
    /// --cascade=orphan`).
    Ours,
    /// It belongs to another owner. The operator never changes it.
    Foreign,
}

pub(crate) fn ownership(
    model_service: &ValidatedModelService,
    observed: &Observed,
    kind: ChildKind,
) -> Ownership {
    match observed.metadata(kind) {
        None => Ownership::Absent,
        Some(metadata) if is_ours(metadata, model_service) => Ownership::Ours,
        Some(_) => Ownership::Foreign,
    }
}

/// Whether an HPA scales the ModelService's Deployment.
pub(crate) fn scales(hpa: &HorizontalPodAutoscaler, model_service: &ValidatedModelService) -> bool {
    hpa.spec.as_ref().is_some_and(|spec| {
        let target = &spec.scale_target_ref;
        target.kind == ChildKind::Deployment.as_str() && target.name == model_service.name()
    })
}

/// Whether an HPA scales the ModelService's Deployment, but was created neither by the operator nor by KEDA for the
/// ModelService.
#[must_use]
pub fn is_foreign_autoscaler(
    hpa: &HorizontalPodAutoscaler,
    model_service: &ValidatedModelService,
) -> bool {
    let metadata = &hpa.metadata;
    let is_named = |name: &str| metadata.name.as_deref() == Some(name);
    // A copy of ours has its labels and owner, but not its name.
    let is_own = is_named(model_service.name()) && is_ours(metadata, model_service);
    let is_keda_hpa = is_named(&model_service.keda_hpa_name());
    scales(hpa, model_service) && !is_own && !is_keda_hpa
}

/// The controller of an object, if it has one.
pub(crate) fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

/// The name of the ModelService whose own HPA has the name of the one that KEDA would create for this ModelService.
/// KEDA and the operator would take it over from each other endlessly.
pub(crate) fn holder_of_keda_hpa<'a>(
    model_service: &ValidatedModelService,
    observed: &'a Observed,
) -> Option<&'a str> {
    let hpa = observed.keda_horizontal_pod_autoscaler.as_ref()?;
    let owner = controller(&hpa.metadata)?;
    let group = format!("{}/", ModelService::group(&()));
    let is_one = owner.kind == ModelService::kind(&()) && owner.api_version.starts_with(&group);
    (is_one && owner.uid != model_service.uid()).then_some(&owner.name)
}

fn is_ours(metadata: &ObjectMeta, model_service: &ValidatedModelService) -> bool {
    is_controlled(metadata, model_service) || is_orphan(metadata, model_service)
}

fn is_controlled(metadata: &ObjectMeta, model_service: &ValidatedModelService) -> bool {
    controller(metadata).is_some_and(|owner| owner.uid == model_service.uid())
}

fn is_orphan(metadata: &ObjectMeta, model_service: &ValidatedModelService) -> bool {
    let has_label = |key, value: &str| {
        metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(key))
            .is_some_and(|label| label == value)
    };
    controller(metadata).is_none()
        && has_label(labels::MANAGED_BY, labels::SPRINGTIDE)
        && has_label(labels::INSTANCE, model_service.name())
}
