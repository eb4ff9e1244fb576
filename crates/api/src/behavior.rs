//! How fast the number of pods changes: the `behavior` of an `autoscaling/v2`
//! HorizontalPodAutoscaler with bounds, and with defaults that go up fast and down slowly.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How fast the number of pods changes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// How it grows.
    #[serde(default)]
    pub scale_up: ScaleUp,

    /// How it shrinks.
    #[serde(default)]
    pub scale_down: ScaleDown,
}

/// How the number of pods grows.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUp {
    /// How far back wishes for fewer pods hold growth down, in seconds.
    #[serde(default = "scale_up_window")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: i32,

    /// Which of the policies holds where several allow a change.
    #[serde(default)]
    pub select_policy: SelectPolicy,

    /// How much may change in how long.
    #[serde(default = "scale_up_policies")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub policies: Vec<Policy>,
}

/// How the number of pods shrinks.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDown {
    /// How far back wishes for more pods hold shrinking up, in seconds.
    #[serde(default = "scale_down_window")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: i32,

    /// Which of the policies holds where several allow a change.
    #[serde(default)]
    pub select_policy: SelectPolicy,

    /// How much may change in how long.
    #[serde(default = "scale_down_policies")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub policies: Vec<Policy>,
}

/// Which policy holds where several allow a change.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that allows the most.
    #[default]
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

impl Default for ScaleUp {
    fn default() -> Self {
        Self {
            stabilization_window_seconds: scale_up_window(),
            select_policy: SelectPolicy::default(),
            policies: scale_up_policies(),
        }
    }
}

impl Default for ScaleDown {
    fn default() -> Self {
        Self {
            stabilization_window_seconds: scale_down_window(),
            select_policy: SelectPolicy::default(),
            policies: scale_down_policies(),
        }
    }
}

const fn scale_up_window() -> i32 {
    0
}

const fn scale_down_window() -> i32 {
    300
}

fn scale_up_policies() -> Vec<Policy> {
    vec![
        Policy {
            kind: PolicyType::Percent,
            value: 100,
            period_seconds: 15,
        },
        Policy {
            kind: PolicyType::Pods,
            value: 4,
            period_seconds: 15,
        },
    ]
}

fn scale_down_policies() -> Vec<Policy> {
    vec![Policy {
        kind: PolicyType::Percent,
        value: 10,
        period_seconds: 60,
    }]
}
