//! The field managers of server-side apply, one per concern. This is their registry: nothing else
//! writes as one of them.
//!
//! `spec.replicas` of the Deployment has managers of its own. [`OPERATOR`] names it in the request that creates the
//! Deployment, and in no other. Server-side apply resets a field to its default once its last owner applies without it, so
//! another manager takes it over first. See `docs/adr/0003-replicas-belong-to-the-autoscaler.md`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ObjectMeta};
use serde_json::json;

use crate::observed::foreign_status::owns_replicas;

/// Owns everything that the operator applies, of `spec.replicas` of Deployments what they were created with.
pub const OPERATOR: &str = "springtide-operator";

/// Owns `spec.replicas` of a Deployment with `engine: None`, by force.
pub const FIXED_REPLICAS: &str = "springtide-fixed-replicas";

/// Owns the first `spec.replicas` of a Deployment under an autoscaler, until the first decision of the autoscaler takes
/// the field over.
pub const INITIAL_REPLICAS: &str = "springtide-initial-replicas";

/// Owns the condition by which an operator says that it leaves a ModelService to another one.
pub const YIELDING: &str = "springtide-yielding";

/// Owns the status of ModelServices, but for that condition.
pub const STATUS: &str = "springtide-status";

/// Leaves of `metadata.managedFields` what plans and conditions read: what the operator owns, and who else owns
/// the number of pods.
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
