//! What pods have besides the server: the fields of a pod's spec that a ModelService passes on, by Kubernetes' names.

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

/// Longest that a pod may take to end, in seconds.
pub const MAX_TERMINATION_SECONDS: i32 = 3600;

/// What pods have besides the server, by the names of a pod's spec. `env`, `envFrom` and `volumeMounts` go to the
/// container that fetches the model and to the one that serves it. Nothing in it gives pods rights over their
/// node: there are no host paths, host namespaces, privileges, capabilities and other users.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.volumeMounts) || self.volumeMounts.all(mount, has(self.volumes) && self.volumes.exists(volume, volume.name == mount.name))")
        .message("spec.pod.volumeMounts[].name must be the name of one of spec.pod.volumes")
)]
pub struct Pod {
    /// Labels of the pods and of every object that is made for the ModelService. Labels of the ModelService
    /// itself whose key has no prefix, such as `team`, count as if they stood here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "metadata::labels_schema")]
    pub labels: BTreeMap<String, String>,

    /// Annotations of the pods and of the Deployment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "metadata::annotations_schema")]
    pub annotations: BTreeMap<String, String>,

    /// Environment variables. Those of the server itself are set by the fields of `spec.server`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "environment::env_schema")]
    pub env: Vec<EnvVar>,

    /// ConfigMaps and Secrets whose keys become environment variables. What the operator and `env` set counts
    /// more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "environment::env_from_schema")]
    pub env_from: Vec<EnvFromSource>,

    /// Service account of the pods, in the namespace of the ModelService. They never get its token, so that it
    /// gives them no rights over the cluster; a name of their own is for meshes and policies that tell pods apart
    /// by it, and for its image pull secrets.
    #[serde(default = "service_account_name")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(is_object_name())
        .message("spec.pod.serviceAccountName must be the name of a service account"))]
    pub service_account_name: String,

    /// Secrets with credentials for the registries of images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub image_pull_secrets: Vec<ImagePullSecret>,

    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "placement::node_selector_schema")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tolerations: Vec<Toleration>,

    /// Nodes and other pods that the pods want to be near to, or far from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "placement::affinity_schema")]
    pub affinity: Option<Affinity>,

    /// How the pods spread over nodes and zones. One without `labelSelector` counts the pods of this
    /// ModelService, of its present spec. Default: evenly over nodes and over zones, where that can be had;
    /// an empty list asks for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "placement::spread_schema")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,

    /// `PriorityClass` of the pods. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(is_object_name())
        .message("spec.pod.priorityClassName must be the name of a PriorityClass"))]
    pub priority_class_name: Option<String>,

    /// `RuntimeClass` of the pods, such as one of gVisor or Kata Containers, for models that aren't trusted.
    /// Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(is_object_name())
        .message("spec.pod.runtimeClassName must be the name of a RuntimeClass"))]
    pub runtime_class_name: Option<String>,

    /// What places the pods on nodes. Default: the cluster's own scheduler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(is_object_name())
        .message("spec.pod.schedulerName must be the name of a scheduler"))]
    pub scheduler_name: Option<String>,

    /// Time from the deletion of a pod to its kill, in seconds. Default, and the least that there is: 12 s and
    /// `spec.server.requestTimeoutMilliseconds`, so that accepted requests are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub termination_grace_period_seconds: Option<i32>,

    /// `false` runs the pods in a user namespace of their own, so that a user of theirs is none of the
    /// node. Needs nodes that can (Linux 6.3, a runtime with user namespaces). Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_users: Option<bool>,

    /// Who chooses the pods' user and group. Everything else that Pod Security "restricted" asks for is always
    /// there. Default: `Platform` where the cluster has the API group `security.openshift.io`, `Default` else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,

    /// Volumes of the pods, each of one of these kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub volumes: Vec<Volume>,

    /// Where containers have these volumes.
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

/// Who chooses the pods' user and group.
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
