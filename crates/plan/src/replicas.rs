//! Who writes `spec.replicas` of the Deployment, and when.
//!
//! See `docs/adr/0003-replicas-belong-to-the-autoscaler.md`.

use k8s_openapi::{
    api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use serde_json::{Value, json};

use crate::{
    field_manager::{FIXED_REPLICAS, INITIAL_REPLICAS},
    observed::Observed,
    scaling::Scaling,
    validated::ValidatedModelService,
};

/// A server-side apply of the Deployment's `spec.replicas` alone, to be done after the Deployment
/// has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicasApply {
    /// Who applies.
    pub field_manager: &'static str,
    /// Pods.
    pub replicas: i32,
    /// Whether the field is taken from whoever owns it. Where it isn't, a conflict (409) means that
    /// somebody has decided already: that is success.
    pub force: bool,
}

impl ReplicasApply {
    /// What is applied to the Deployment `name`.
    #[must_use]
    pub fn body(&self, name: &str) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": self.replicas},
        })
    }
}

pub(crate) fn replicas(
    model_service: &ValidatedModelService,
    observed: &Observed,
) -> Option<ReplicasApply> {
    match model_service.scaling() {
        Scaling::Fixed { replicas } => Some(ReplicasApply {
            field_manager: FIXED_REPLICAS,
            replicas: *replicas,
            force: true,
        }),
        // A new Deployment has one replica until its autoscaler's first look, a quarter of a minute
        // later.
        Scaling::Hpa { pods, .. } | Scaling::Keda { pods, .. } => observed
            .deployment
            .as_ref()
            .is_none_or(|deployment| is_undecided(deployment, pods.min_replicas))
            .then_some(ReplicasApply {
                field_manager: INITIAL_REPLICAS,
                replicas: pods.min_replicas,
                force: false,
            }),
    }
}

/// Whether `spec.replicas` is still the API server's default, or an earlier first value that the
/// spec has left behind, with no decision of anybody's.
fn is_undecided(deployment: &Deployment, min_replicas: i32) -> bool {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let entries = deployment.metadata.managed_fields.iter().flatten();
    replicas.is_none_or(|replicas| replicas < min_replicas)
        && entries
            .filter(|entry| owns_replicas(entry))
            .all(|entry| entry.manager.as_deref() == Some(INITIAL_REPLICAS))
}

fn owns_replicas(entry: &ManagedFieldsEntry) -> bool {
    entry
        .fields_v1
        .as_ref()
        .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}
