//! The kinds of objects that the tests look at.

use kube::api::{ApiResource, GroupVersionKind};

/// A kind in one version of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    group: &'static str,
    version: &'static str,
    /// Its name, as in manifests.
    pub name: &'static str,
}

impl Kind {
    const fn new(group: &'static str, version: &'static str, name: &'static str) -> Self {
        Self {
            group,
            version,
            name,
        }
    }

    /// How its URLs are built.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(self.group, self.version, self.name))
    }

    /// Its `apiVersion`, as in manifests.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// What a user writes.
pub const MODEL_SERVICE: Kind = Kind::new("serving.springtide.dev", "v1alpha1", "ModelService");
/// Child: the pods' template.
pub const DEPLOYMENT: Kind = Kind::new("apps", "v1", "Deployment");
/// Child: the address.
pub const SERVICE: Kind = Kind::new("", "v1", "Service");
/// Child: how many pods a drain may take at once.
pub const DISRUPTION_BUDGET: Kind = Kind::new("policy", "v1", "PodDisruptionBudget");
/// Child with engine HPA, and what KEDA makes of a [`SCALED_OBJECT`].
pub const AUTOSCALER: Kind = Kind::new("autoscaling", "v2", "HorizontalPodAutoscaler");
/// Child with engine KEDA.
pub const SCALED_OBJECT: Kind = Kind::new("keda.sh", "v1alpha1", "ScaledObject");
/// What a Deployment makes of its template.
pub const REPLICA_SET: Kind = Kind::new("apps", "v1", "ReplicaSet");
/// What a Service makes of its pods.
pub const ENDPOINT_SLICE: Kind = Kind::new("discovery.k8s.io", "v1", "EndpointSlice");
/// What a ReplicaSet makes of its template.
pub const POD: Kind = Kind::new("", "v1", "Pod");
/// Where small models lie.
pub const CONFIG_MAP: Kind = Kind::new("", "v1", "ConfigMap");
/// Where large models lie.
pub const CLAIM: Kind = Kind::new("", "v1", "PersistentVolumeClaim");
/// What few may read.
pub const SECRET: Kind = Kind::new("", "v1", "Secret");
/// What a claim gets.
pub const VOLUME: Kind = Kind::new("", "v1", "PersistentVolume");
/// What happened, in words.
pub const EVENT: Kind = Kind::new("", "v1", "Event");
/// How much a namespace may have.
pub const RESOURCE_QUOTA: Kind = Kind::new("", "v1", "ResourceQuota");
/// Machines of the cluster.
pub const NODE: Kind = Kind::new("", "v1", "Node");
/// One per test.
pub const NAMESPACE: Kind = Kind::new("", "v1", "Namespace");
/// Who leads.
pub const LEASE: Kind = Kind::new("coordination.k8s.io", "v1", "Lease");

/// What changes objects on their way in, as service meshes do.
pub const MUTATING_POLICY: Kind = Kind::new(ADMISSION, "v1", "MutatingAdmissionPolicy");
/// Where a policy holds.
pub const MUTATING_POLICY_BINDING: Kind =
    Kind::new(ADMISSION, "v1", "MutatingAdmissionPolicyBinding");

const ADMISSION: &str = "admissionregistration.k8s.io";

/// Every kind that the tests know, to find one by the `apiVersion` and `kind` of a manifest.
const ALL: [Kind; 18] = [
    MODEL_SERVICE,
    DEPLOYMENT,
    SERVICE,
    DISRUPTION_BUDGET,
    AUTOSCALER,
    SCALED_OBJECT,
    POD,
    CONFIG_MAP,
    CLAIM,
    SECRET,
    VOLUME,
    EVENT,
    RESOURCE_QUOTA,
    NODE,
    NAMESPACE,
    LEASE,
    MUTATING_POLICY,
    MUTATING_POLICY_BINDING,
];

/// The kind of a manifest, where it is one of those above.
#[must_use]
pub fn of(manifest: &serde_json::Value) -> Option<Kind> {
    ALL.into_iter().find(|kind| {
        manifest["kind"] == kind.name && manifest["apiVersion"] == kind.api_version().as_str()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_find_their_kind() {
        for kind in ALL {
            let manifest = serde_json::json!({"apiVersion": kind.api_version(), "kind": kind.name});
            assert_eq!(of(&manifest), Some(kind));
        }
        assert_eq!(
            of(&serde_json::json!({"apiVersion": "v2", "kind": "Pod"})),
            None
        );
    }

    #[test]
    fn urls_use_the_plural() {
        assert_eq!(DISRUPTION_BUDGET.resource().plural, "poddisruptionbudgets");
        assert_eq!(MODEL_SERVICE.resource().plural, "modelservices");
    }
}
