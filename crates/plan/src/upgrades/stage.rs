//! The stage of a ModelService in an upgrade.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodTemplateSpec};
use springtide_api::ModelServiceStatus;

use super::template_origin::{ChangeCause, TEMPLATE_ANNOTATION, TemplateOrigin};
use crate::{
    apply::{field_manager::OPERATOR, is_template_applied},
    child::Child,
    desired::Desired,
    observed::{
        Observed,
        foreign_status::{
            has_only_new_pods, is_paused, progressing_reason, spec_replicas, was_rolled_out,
        },
    },
    resources::SERVER_CONTAINER,
    settings::OperatorSettings,
    spec::ValidatedModelService,
};

/// The stage of a ModelService in an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No upgrade: its pods are up to date, or change for another reason.
    Current,
    /// Its pods are being upgraded.
    Upgrading,
    /// Its upgrade has failed: the rollout exceeded its progress deadline.
    Failed,
    /// An upgrade waits.
    Waiting(UpgradeReadiness),
}

/// Whether a waiting upgrade could complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeReadiness {
    /// All pods are available.
    Healthy,
    /// A previous upgrade is still running. This one replaces it.
    Rolling,
    /// A previous upgrade has failed. This one replaces it.
    Failed,
    /// Pods are unavailable, so new ones probably would be, too.
    Unavailable,
    /// The Deployment is paused (`kubectl rollout pause`).
    Paused,
}

/// The stage of a ModelService, from its Deployment. Writes the origin of the pod template into the planned Deployment.
/// If an upgrade waits, [`Desired::hold_upgrade`] must be called unless the upgrade is permitted.
///
/// Only known upgrades wait. A missing Deployment, one of a previous spec, and an edited one don't.
#[must_use]
pub fn stage(
    model_service: &ValidatedModelService,
    observed: &Observed,
    settings: &OperatorSettings,
    previous: Option<&ModelServiceStatus>,
    plan: &mut Desired,
) -> Stage {
    let planned = plan.apply.iter_mut().find_map(|child| match child {
        Child::Deployment(deployment) => Some(deployment.as_mut()),
        _ => None,
    });
    // The Deployment belongs to another owner, or is already held.
    let Some(planned) = planned else {
        return Stage::Current;
    };
    let mut made = TemplateOrigin::current(model_service, observed, settings);
    let mut stage = Stage::Current;
    if let Some(live) = &observed.deployment {
        let before = TemplateOrigin::read(live);
        let is_of_this_spec = before.map_or_else(
            // A previous operator wrote no annotation.
            || was_rolled_out(previous, model_service.generation()),
            |before| before.has_same_inputs(&made),
        );
        let is_by_this_operator = before.is_some_and(|before| before.operator == made.operator)
            || is_template_applied(planned, live, OPERATOR);
        if is_of_this_spec && is_by_this_operator {
            if before.is_some_and(|before| before.cause == ChangeCause::Upgrade) {
                made.cause = ChangeCause::Upgrade;
                stage = upgrade_progress(live);
            }
        } else if is_of_this_spec {
            made.cause = ChangeCause::Upgrade;
            stage = Stage::Waiting(readiness(live, before.as_ref()));
        }
    }
    let annotations = planned.metadata.annotations.get_or_insert_default();
    annotations.insert(TEMPLATE_ANNOTATION.to_owned(), made.to_string());
    stage
}

/// The image of a Deployment's server container.
#[must_use]
pub fn served_image(deployment: &Deployment) -> Option<&str> {
    let PodTemplateSpec { spec, .. } = &deployment.spec.as_ref()?.template;
    let mut containers = spec.as_ref()?.containers.iter();
    let server = containers.find(|container| container.name == SERVER_CONTAINER)?;
    server.image.as_deref()
}

/// The stage of a running upgrade.
fn upgrade_progress(live: &Deployment) -> Stage {
    if is_complete(live) {
        Stage::Current
    } else if has_stopped(live) {
        Stage::Failed
    } else {
        Stage::Upgrading
    }
}

fn readiness(live: &Deployment, before: Option<&TemplateOrigin>) -> UpgradeReadiness {
    let is_complete = is_complete(live);
    let was_upgraded = before.is_some_and(|before| before.cause == ChangeCause::Upgrade);
    if is_paused(live) {
        UpgradeReadiness::Paused
    } else if was_upgraded && !is_complete {
        if has_stopped(live) {
            UpgradeReadiness::Failed
        } else {
            UpgradeReadiness::Rolling
        }
    } else if is_complete && are_all_available(live) {
        UpgradeReadiness::Healthy
    } else {
        UpgradeReadiness::Unavailable
    }
}

/// Whether the Deployment controller reports that all pods have the current template and were available.
fn is_complete(live: &Deployment) -> bool {
    progressing_reason(live) == Some("NewReplicaSetAvailable") && has_only_new_pods(live)
}

fn has_stopped(live: &Deployment) -> bool {
    progressing_reason(live) == Some("ProgressDeadlineExceeded")
}

/// Including pods that an autoscaler has just requested. If those don't become available, new ones won't either.
fn are_all_available(live: &Deployment) -> bool {
    let available = live
        .status
        .as_ref()
        .and_then(|status| status.available_replicas);
    available.unwrap_or_default() >= spec_replicas(live).unwrap_or(1)
}
