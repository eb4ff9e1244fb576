//! The type of `spec.rollout`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Rolling update of the pods.
///
/// By default, new pods are added to the old pods, which serve until the new pods are ready. If new pods cannot be
/// placed beside the old ones, one old pod is removed for each new pod. Reasons are a quota, a lack of node capacity,
/// or a single-writer volume. If no pod has ever served, all old pods are removed at once. Both exceptions require that
/// `maxUnavailable` is not set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.maxSurge) || !has(self.maxUnavailable) || !(self.maxSurge == 0 || self.maxSurge == '0%') || !(self.maxUnavailable == 0 || self.maxUnavailable == '0%')")
        .message("spec.rollout.maxSurge and spec.rollout.maxUnavailable must not both be 0: no pod could be replaced")
)]
pub struct Rollout {
    /// Maximum number of pods above the desired replicas during a rollout, as a number or as a percentage of the
    /// desired replicas. Default: 25%. It is reduced to 0 if new pods cannot be placed beside the old ones and
    /// `maxUnavailable` is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pods_schema")]
    pub max_surge: Option<IntOrString>,

    /// Maximum number of desired replicas that may be unavailable during a rollout, as a number or as a percentage of
    /// the desired replicas. Default: 0, or 1 with `maxSurge: 0`. The default rises to 1 if new pods cannot be placed
    /// beside the old ones, and to 100% if no pod has ever served. An explicit 0 keeps all replicas available, however
    /// long the rollout then waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pods_schema")]
    pub max_unavailable: Option<IntOrString>,

    /// Progress deadline, in seconds. After this time without progress, `RolloutComplete` reports that the rollout has
    /// failed. Default: the time to schedule a pod (300), to fetch the model file and to start
    /// (`spec.server.startupTimeoutSeconds`), at least 600. The time to fetch is `spec.model.maxSizeMebibytes` divided
    /// by 10, or 0 for a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86_400))]
    pub progress_deadline_seconds: Option<i32>,
}

/// A number of pods, or a percentage.
fn pods_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 0,
        "maximum": 1000,
        "maxLength": 4,
        "pattern": "^(100|[1-9]?[0-9])%$",
    })
}
