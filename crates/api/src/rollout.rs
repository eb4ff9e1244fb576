//! How pods of a new spec take the place of former ones.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How pods of a new spec take the place of former ones.
///
/// Without `maxSurge` and `maxUnavailable` new pods come beside the former ones, which serve until the new ones
/// do. Where new pods can't be placed beside them (a quota, no room on the nodes, a volume of one writer), one
/// former pod goes for each new one, and pods that never served make room at once.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.maxSurge) || !has(self.maxUnavailable) || !(self.maxSurge == 0 || self.maxSurge == '0%') || !(self.maxUnavailable == 0 || self.maxUnavailable == '0%')")
        .message("spec.rollout.maxSurge and spec.rollout.maxUnavailable must not both be 0: no pod could be replaced")
)]
pub struct Rollout {
    /// Most pods beyond the wanted number during a rollout, as a number or as a percentage of it. Default: 25%;
    /// 0 where the room demands it, as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pods_schema")]
    pub max_surge: Option<IntOrString>,

    /// Most pods of the wanted number that may be missing during a rollout, as a number or as a percentage of it.
    /// Default: 0, or 1 with `maxSurge: 0`; more where the room demands it, as above. An explicit 0 keeps
    /// all pods, however long the rollout then waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pods_schema")]
    pub max_unavailable: Option<IntOrString>,

    /// Seconds without progress after which `RolloutComplete` says that the rollout has failed. Default: what a pod may
    /// take to be placed, to fetch a model of `spec.model.maxSizeMebibytes` and to start
    /// (`spec.server.startupTimeoutSeconds`), at least 600.
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
