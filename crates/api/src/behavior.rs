//! How fast the number of pods changes: a preset, and on top of it any field of the `behavior` of an
//! `autoscaling/v2` HorizontalPodAutoscaler.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How fast the number of pods changes. What `scaleUp` and `scaleDown` leave out comes from the
/// preset.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Where what is left out comes from.
    #[serde(default)]
    pub preset: Preset,

    /// How the number of pods grows.
    #[serde(default)]
    pub scale_up: ScalingRules,

    /// How the number of pods shrinks.
    #[serde(default)]
    pub scale_down: ScalingRules,
}

/// A behaviour by name. "Down after 300 s" is a stabilization window of 300 s, which an HPA counts from
/// its last sync that asked for the pods.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// Up at once, by the greater of 100 % and 4 pods in 15 s; down after 300 s, by 10 % in 60 s.
    /// Too few pods cost requests, too many only money.
    #[default]
    FastUpSlowDown,
    /// Up after 60 s of need, by the greater of 50 % and 2 pods in 60 s; down after 600 s, by 10 % in
    /// 120 s. For load that swings from minute to minute, and pods that are slow to start.
    Steady,
    /// Up at once, by the greater of 300 % and 10 pods in 15 s; down after 60 s, by 50 % in 60 s.
    /// For short bursts, and pods that are quick to start and dear.
    Aggressive,
}

/// How the number of pods changes in one direction.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// How far back recommendations count, in seconds: a scale-up goes to the lowest number of replicas that was
    /// recommended in that time, a scale-down to the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,

    /// Which of the policies holds where several allow a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,

    /// How much may change in how long. They take the place of all of the preset's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub policies: Option<Vec<Policy>>,

    /// How far a reading may be from its target before the number of pods changes, as a fraction of
    /// the target from 0 to 1 with at most three decimals: `"0.05"` or `50m`. Default: the cluster's,
    /// 0.1 where nobody changed it. Needs Kubernetes' feature `HPAConfigurableTolerance`, which is on
    /// by default from Kubernetes 1.35.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "tolerance_schema")]
    pub tolerance: Option<Quantity>,
}

/// Which policy holds where several allow a change.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that allows the most.
    Max,
    /// The one that allows the least.
    Min,
    /// None: no change in this direction.
    Disabled,
}

/// A bound on change.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// What `value` counts.
    #[serde(rename = "type")]
    pub kind: PolicyType,

    /// Most pods, or most percent of the present pods, that may be added or removed in
    /// `periodSeconds`.
    #[schemars(range(min = 1, max = 100_000))]
    pub value: i32,

    /// Time for which `value` holds, in seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// What the value of a [`Policy`] counts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyType {
    /// Pods.
    Pods,
    /// Percent of the present pods.
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
