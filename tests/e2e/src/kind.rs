//! The kinds of objects in the tests.

use kube::api::{ApiResource, GroupVersionKind};

/// A kind, in one version of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    group: &'static str,
    version: &'static str,
    /// Name in manifests.
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

    /// The API resource for its URLs.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(self.group, self.version, self.name))
    }

    /// `apiVersion` in manifests.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// The custom resource.
pub const MODEL_SERVICE: Kind = Kind::new("serving.springtide.dev", "v1alpha1", "ModelService");
/// Child: the pods.
pub const DEPLOYMENT: Kind = Kind::new("apps", "v1", "Deployment");
/// Child: the address of the pods.
pub const SERVICE: Kind = Kind::new("", "v1", "Service");
/// Child: the limit of voluntary disruptions.
pub const DISRUPTION_BUDGET: Kind = Kind::new("policy", "v1", "PodDisruptionBudget");
/// Child with engine HPA, and the object that KEDA creates for a [`SCALED_OBJECT`].
pub const AUTOSCALER: Kind = Kind::new("autoscaling", "v2", "HorizontalPodAutoscaler");
/// Child with engine KEDA.
pub const SCALED_OBJECT: Kind = Kind::new("keda.sh", "v1alpha1", "ScaledObject");
/// Created by a Deployment.
pub const REPLICA_SET: Kind = Kind::new("apps", "v1", "ReplicaSet");
/// Created for a Service.
pub const ENDPOINT_SLICE: Kind = Kind::new("discovery.k8s.io", "v1", "EndpointSlice");
/// Created by a ReplicaSet.
pub const POD: Kind = Kind::new("", "v1", "Pod");
/// Source of small models.
pub const CONFIG_MAP: Kind = Kind::new("", "v1", "ConfigMap");
/// Source of large models.
pub const CLAIM: Kind = Kind::new("", "v1", "PersistentVolumeClaim");
/// Source of secret URIs.
pub const SECRET: Kind = Kind::new("", "v1", "Secret");
/// The volume of a claim.
pub const VOLUME: Kind = Kind::new("", "v1", "PersistentVolume");
/// Events of objects.
pub const EVENT: Kind = Kind::new("", "v1", "Event");
/// The resource quota of a namespace.
pub const RESOURCE_QUOTA: Kind = Kind::new("", "v1", "ResourceQuota");
/// The nodes of the cluster.
pub const NODE: Kind = Kind::new("", "v1", "Node");
/// The namespaces of tests.
pub const NAMESPACE: Kind = Kind::new("", "v1", "Namespace");
/// The lease of the leader election, and claims.
pub const LEASE: Kind = Kind::new("coordination.k8s.io", "v1", "Lease");

/// A policy that changes objects at admission, as service meshes do.
pub const MUTATING_POLICY: Kind = Kind::new(ADMISSION, "v1", "MutatingAdmissionPolicy");
/// The scope of such a policy.
pub const MUTATING_POLICY_BINDING: Kind =
    Kind::new(ADMISSION, "v1", "MutatingAdmissionPolicyBinding");

const ADMISSION: &str = "admissionregistration.k8s.io";

/// All kinds, to find one by the `apiVersion` and `kind` of a manifest.
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

/// The kind of a manifest, if it is one of the above.
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
