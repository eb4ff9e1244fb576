//! Where pods may run and how they get their image: the few fields of a pod that a ModelService passes on.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A Secret with credentials for a registry.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImagePullSecret {
    /// Name of the Secret, in the namespace of the ModelService.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A taint that the pods tolerate, as in a pod's spec.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint. Left out with operator `Exists`, it stands for every key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub key: Option<String>,

    /// How the value is compared. Default: `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,

    /// Value of the taint, for `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,

    /// Effect of the taint. Left out, it stands for every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,

    /// How long a `NoExecute` taint is tolerated, in seconds. Default: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration compares the value of a taint.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TolerationOperator {
    /// The values are equal.
    Equal,
    /// Any value will do.
    Exists,
}

/// What a taint does to pods that don't tolerate it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaintEffect {
    /// No new pods.
    NoSchedule,
    /// No new pods where it can be helped.
    PreferNoSchedule,
    /// No new pods, and those that run are evicted.
    NoExecute,
}

/// A bounded map of label keys to values.
pub(crate) fn node_selector_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}
