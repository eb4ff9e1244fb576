//! The field managers of server-side apply, one per concern. This is their registry: nothing else writes as one of
//! them.
//!
//! `spec.replicas` of the Deployment has managers of its own. [`OPERATOR`] sets it only in the request that creates the
//! Deployment. Server-side apply resets a field to its default once its last owner applies without it. So another
//! manager takes the field over first. See `docs/adr/0003-replicas-belong-to-the-autoscaler.md`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ObjectMeta};
use serde_json::json;

use crate::observed::foreign_status::owns_replicas;

/// Owns everything that the operator applies, including the initial `spec.replicas` of a new Deployment.
pub const OPERATOR: &str = "springtide-operator";

/// Owns `spec.replicas` of a Deployment with `engine: None`, with force.
pub const FIXED_REPLICAS: &str = "springtide-fixed-replicas";

/// Owns the initial `spec.replicas` of a Deployment with an autoscaler, until the autoscaler's first decision takes the
/// field over.
pub const INITIAL_REPLICAS: &str = "springtide-initial-replicas";

/// Owns the condition of an operator that leaves a ModelService to another operator.
pub const YIELDING: &str = "springtide-yielding";

/// Owns the status of ModelServices except that condition.
pub const STATUS: &str = "springtide-status";

/// Reduces `metadata.managedFields` to the entries that plans and conditions read: those of the operator, and the other
/// owners of `spec.replicas`.
pub fn prune_managed_fields(metadata: &mut ObjectMeta) {
    let Some(entries) = &mut metadata.managed_fields else {
        return;
    };
    let ours = [OPERATOR, FIXED_REPLICAS, INITIAL_REPLICAS];
    entries.retain_mut(|entry| {
        let is_ours = entry
            .manager
            .as_deref()
            .is_some_and(|name| ours.contains(&name));
        if !is_ours && owns_replicas(entry) {
            entry.fields_v1 = Some(FieldsV1(json!({"f:spec": {"f:replicas": {}}})));
            return true;
        }
        is_ours
    });
}
