//! Resource types of the API.

use kube::Resource;

/// A resource type: its names in paths and in objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceType {
    /// API group; empty for the core group.
    pub group: String,
    /// API version without the group.
    pub version: String,
    /// Plural, lower-case name in paths.
    pub plural: String,
    /// Kind in objects.
    pub kind: String,
}

impl ResourceType {
    /// The resource type of a Rust type.
    #[must_use]
    pub fn of<K: Resource<DynamicType = ()>>() -> Self {
        Self::new(
            &K::group(&()),
            &K::version(&()),
            &K::plural(&()),
            &K::kind(&()),
        )
    }

    /// A resource type by its names.
    #[must_use]
    pub fn new(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            kind: kind.to_owned(),
        }
    }

    /// `v1` or `group/version`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// The resource types of every cluster that operators use.
pub(crate) fn built_in() -> Vec<ResourceType> {
    vec![
        ResourceType::new("", "v1", "configmaps", "ConfigMap"),
        ResourceType::new("", "v1", "pods", "Pod"),
        ResourceType::new("", "v1", "services", "Service"),
        ResourceType::new("apps", "v1", "deployments", "Deployment"),
        ResourceType::new(
            "autoscaling",
            "v2",
            "horizontalpodautoscalers",
            "HorizontalPodAutoscaler",
        ),
        ResourceType::new("coordination.k8s.io", "v1", "leases", "Lease"),
        ResourceType::new("events.k8s.io", "v1", "events", "Event"),
        ResourceType::new(
            "policy",
            "v1",
            "poddisruptionbudgets",
            "PodDisruptionBudget",
        ),
    ]
}

/// Resource type, namespace and name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) resource: ResourceType,
    pub(crate) namespace: String,
    pub(crate) name: String,
}
