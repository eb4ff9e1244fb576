//! The type of `spec.pod`: fields of a pod spec that a ModelService may set, by their names in Kubernetes.

mod environment;
mod metadata;
mod placement;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, EnvFromSource, EnvVar, TopologySpreadConstraint};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use environment::is_reserved_variable;
pub use metadata::{is_reserved_annotation, is_reserved_label};
pub use placement::{ImagePullSecret, TaintEffect, Toleration, TolerationOperator};
pub use volumes::{RESERVED_VOLUMES, Volume, VolumeMount, is_reserved_path};

use crate::schema::OBJECT_NAME;

/// Maximum termination grace period of a pod, in seconds.
pub const MAX_TERMINATION_SECONDS: i32 = 3600;

/// Further fields of the pods, by their names in a pod spec. `env`, `envFrom` and `volumeMounts` apply to the container
/// that fetches the model file and to the server container. Host paths, host namespaces, privileges, capabilities and
/// other users are not available.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.volumeMounts) || self.volumeMounts.all(mount, has(self.volumes) && self.volumes.exists(volume, volume.name == mount.name))")
        .message("spec.pod.volumeMounts[].name must be the name of one of spec.pod.volumes")
)]
pub struct Pod {
    /// Labels of the pods and of every object that is created for the ModelService. Labels of the ModelService itself
    /// whose key has no prefix, such as `team`, apply as if they were listed here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "metadata::labels_schema")]
    pub labels: BTreeMap<String, String>,

    /// Annotations of the pods and of the Deployment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "metadata::annotations_schema")]
    pub annotations: BTreeMap<String, String>,

    /// Environment variables of the containers. The fields of `spec.server` set the variables of the server itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "environment::env_schema")]
    pub env: Vec<EnvVar>,

    /// ConfigMaps and Secrets whose keys become environment variables. Variables from the operator and from `env` take
    /// precedence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "environment::env_from_schema")]
    pub env_from: Vec<EnvFromSource>,

    /// Service account of the pods, in the namespace of the ModelService. Its token is never mounted, so it grants the
    /// pods no permissions in the cluster. A dedicated service account is useful for meshes and policies that identify
    /// pods by it, and for its image pull secrets.
    #[serde(default = "service_account_name")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(is_object_name())
        .message("spec.pod.serviceAccountName must be the name of a service account"))]
    pub service_account_name: String,

    /// Secrets with registry credentials for pulling images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub image_pull_secrets: Vec<ImagePullSecret>,

    /// Labels that a node must have to run the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "placement::node_selector_schema")]
    pub node_selector: BTreeMap<String, String>,

    /// Tolerations of the pods for node taints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tolerations: Vec<Toleration>,

    /// Node affinity, pod affinity and pod anti-affinity of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "placement::affinity_schema")]
    pub affinity: Option<Affinity>,

    /// Topology spread constraints of the pods. A constraint without `labelSelector` counts the pods of this
    /// ModelService that belong to its current spec. Default: spread evenly over nodes and over zones where possible.
    /// An empty list sets no constraints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "placement::spread_schema")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,

    /// `PriorityClass` of the pods. Default: the default of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(is_object_name())
        .message("spec.pod.priorityClassName must be the name of a PriorityClass"))]
    pub priority_class_name: Option<String>,

    /// `RuntimeClass` of the pods, such as one of gVisor or Kata Containers for untrusted models. Default: the default
    /// of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(is_object_name())
        .message("spec.pod.runtimeClassName must be the name of a RuntimeClass"))]
    pub runtime_class_name: Option<String>,

    /// Scheduler that assigns the pods to nodes. Default: the default scheduler of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(is_object_name())
        .message("spec.pod.schedulerName must be the name of a scheduler"))]
    pub scheduler_name: Option<String>,

    /// Termination grace period of the pods, in seconds: time from deletion until a pod is killed. Default and minimum:
    /// 12 s plus `spec.server.requestTimeoutMilliseconds`, so that accepted requests are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub termination_grace_period_seconds: Option<i32>,

    /// `false` runs each pod in its own user namespace, so that no user of the pod is a user of the node. Requires
    /// nodes with support for it (Linux 6.3, a container runtime with user namespaces). Default: the default of the
    /// cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_users: Option<bool>,

    /// Source of the user and group of the pods. `Default`: the operator sets both to 65532, which is also the group of
    /// volumes. `Platform`: the cluster sets them, as `OpenShift` does by security context constraints. All other
    /// requirements of the Pod Security Standard `restricted` always apply. If unset: `Platform` if the cluster has the
    /// API group `security.openshift.io`, otherwise `Default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,

    /// Volumes of the pods, each of exactly one kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub volumes: Vec<Volume>,

    /// Mounts of the volumes of `spec.pod.volumes` in the containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["mountPath".to_owned()]))]
    pub volume_mounts: Vec<VolumeMount>,
}

impl Default for Pod {
    fn default() -> Self {
        Self {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            env: Vec::new(),
            env_from: Vec::new(),
            service_account_name: service_account_name(),
            image_pull_secrets: Vec::new(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            topology_spread_constraints: None,
            priority_class_name: None,
            runtime_class_name: None,
            scheduler_name: None,
            termination_grace_period_seconds: None,
            host_users: None,
            security_context: None,
            volumes: Vec::new(),
            volume_mounts: Vec::new(),
        }
    }
}

/// Source of the user and group of the pods. `Default`: the operator sets both to 65532, which is also the group of
/// volumes. `Platform`: the cluster sets them, as `OpenShift` does by security context constraints. All other
/// requirements of the Pod Security Standard `restricted` always apply. If unset: `Platform` if the cluster has the API
/// group `security.openshift.io`, otherwise `Default`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityContext {
    /// The operator: user and group 65532, which is also the group of volumes.
    Default,
    /// The cluster, as `OpenShift`'s security context constraints do.
    Platform,
}

fn service_account_name() -> String {
    "default".to_owned()
}

/// The rule that a text is the name of an object.
fn is_object_name() -> String {
    format!("self.matches('{OBJECT_NAME}')")
}
