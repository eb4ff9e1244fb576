//! The type of `spec.autoscaling.behavior`: a preset, and the fields of an `autoscaling/v2` HorizontalPodAutoscaler
//! `behavior` that override it.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Scaling behavior. Fields that `scaleUp` and `scaleDown` leave unset come from the preset.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Preset for the fields that `scaleUp` and `scaleDown` leave unset. Its stabilization windows for scale-up and
    /// scale-down: `FastUpSlowDown` 0 s and 300 s, `Steady` 60 s and 600 s, `Aggressive` 0 s and 60 s.
    #[serde(default)]
    pub preset: Preset,

    /// Scaling rules for scale-up.
    #[serde(default)]
    pub scale_up: ScalingRules,

    /// Scaling rules for scale-down.
    #[serde(default)]
    pub scale_down: ScalingRules,
}

/// A named scaling behavior.
///
/// "Down after 300 s" is a stabilization window of 300 s. An HPA counts it from its last sync that requested the pods.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// Up at once, by the greater of 100 % and 4 pods in 15 s; down after 300 s, by 10 % in 60 s.
    /// Too few pods reject requests, too many only cost money.
    #[default]
    FastUpSlowDown,
    /// Up after 60 s, by the greater of 50 % and 2 pods in 60 s; down after 600 s, by 10 % in
    /// 120 s. For load that fluctuates within minutes, and pods that start slowly.
    Steady,
    /// Up at once, by the greater of 300 % and 10 pods in 15 s; down after 60 s, by 50 % in 60 s.
    /// For short bursts, and expensive pods that start quickly.
    Aggressive,
}

/// Scaling rules for one direction.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Stabilization window, in seconds: how far back recommendations are considered. A scale-up uses the lowest
    /// recommendation in the window, a scale-down the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,

    /// Policy that applies if several allow a change: `Max` the one that allows most, `Min` the one that allows least.
    /// `Disabled` turns off scaling in this direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,

    /// Scaling policies, each a maximum change per period. They replace all policies of the preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub policies: Option<Vec<Policy>>,

    /// Tolerance: maximum difference between a reading and its target that does not change the replicas. It is a
    /// fraction of the target from 0 to 1 with at most three decimals: `"0.05"` or `50m`. Default: the setting of the
    /// cluster, 0.1 unless changed. Requires the Kubernetes feature gate `HPAConfigurableTolerance`, which is enabled
    /// by default from Kubernetes 1.35.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "tolerance_schema")]
    pub tolerance: Option<Quantity>,
}

/// Policy that applies if several allow a change: `Max` the one that allows most, `Min` the one that allows least.
/// `Disabled` turns off scaling in this direction.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that allows the most.
    Max,
    /// The one that allows the least.
    Min,
    /// None: no change in this direction.
    Disabled,
}

/// Scaling policy: a maximum change per period.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Unit of `value`: `Pods`, or `Percent` of the current replicas.
    #[serde(rename = "type")]
    pub kind: PolicyType,

    /// Maximum number of pods, or percentage of the current replicas, that may be added or removed in `periodSeconds`.
    #[schemars(range(min = 1, max = 100_000))]
    pub value: i32,

    /// Period to which `value` applies, in seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// Unit of the value of a [`Policy`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyType {
    /// Pods.
    Pods,
    /// Percent of the current replicas.
    Percent,
}

/// A quantity from 0 to 1 in thousandths.
fn tolerance_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 5,
        "pattern": "^(0([.][0-9]{1,3})?|1([.]0{1,3})?|[0-9]{1,3}m|1000m)$",
    })
}
