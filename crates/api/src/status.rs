//! What the operator says about a ModelService.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{autoscaling::ActiveEngine, targets::Signal};

/// What the operator says about a ModelService.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelServiceStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What is so and what isn't: `Ready` (the summary), `ModelLoaded`, `WorkloadAvailable`,
    /// `AutoscalingReady`, `MetricsHealthy`, `BatchingSafe` and `RolloutComplete`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,

    /// Pods that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Pods that are ready to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// Pods that the autoscaler, or `spec.replicas`, asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,

    /// What sets the number of pods, within which bounds, and why there are as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingStatus>,

    /// The model that `spec.model` names, and what pods say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelStatus>,

    /// The last spec that made sense. It stays in force, and what is made from it is kept up, while the present one
    /// makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_valid: Option<LastValid>,

    /// Image of the server that the pods are made with, or are being made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,

    /// Label selector of the pods, as the scale subresource wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,

    /// Address of the model inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub url: Option<String>,
}

/// A spec that made sense.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastValid {
    /// Its `metadata.generation`.
    pub generation: i64,

    /// The spec.
    #[schemars(schema_with = "spec_schema")]
    pub spec: Value,
}

/// A model, and what pods say of it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// Where the model comes from: `spec.model.uri`, or `secret://NAME/KEY` of `spec.model.uriFrom`.
    #[schemars(length(max = 2048))]
    pub uri: String,

    /// SHA-256 of the file, where `spec.model.sha256` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha256: Option<String>,

    /// Whether requests of several clients share batches. Nothing while no pod has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching: Option<BatchingStatus>,

    /// What a pod said of rows whose outputs in a batch were not those of the row alone. It stays until
    /// `spec.model` names another file: with `spec.server.batching.mode: Auto` requests run alone until
    /// then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub sentinel_mismatch: Option<String>,

    /// SHA-256 of the file that the newest pod served when pods of one ConfigMap served different files: its content was
    /// replaced, and all pods were made anew for it. It stays until `spec.model` names another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub replacement_sha256: Option<String>,

    /// Memory that a pod takes when its model is loaded and warm and no request has come, in MiB: the most that any
    /// has said. Where it leaves no room under `targets.memoryUtilizationPercent`, that target isn't followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_at_rest_mebibytes: Option<i32>,
}

/// Whether requests of several clients share batches.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BatchingStatus {
    /// Whether they do, in every pod that was asked.
    pub enabled: bool,

    /// Why, as a stable name, such as `Proven`, `TrialPassed`, `Dependent` or `SentinelMismatch`.
    #[schemars(length(max = 64))]
    pub reason: String,

    /// Why, and what would change it, for people.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// What sets the number of pods, within which bounds, and why there are as many as there are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingStatus {
    /// What sets the number of pods: what `spec.autoscaling.engine: Auto` has become, and else what
    /// it says.
    pub engine: ActiveEngine,

    /// Minimum replicas now: a schedule may lift it above `spec.autoscaling.minReplicas`.
    pub min_replicas: i32,

    /// Maximum replicas now.
    pub max_replicas: i32,

    /// The latest changes of the number of pods, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub decisions: Vec<Decision>,
}

/// A change of the number of pods that the autoscaler asked for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When.
    pub time: Time,

    /// Pods before.
    pub from: i32,

    /// Pods after.
    pub to: i32,

    /// What asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,

    /// The signal's reading as a decimal number, in the unit of its target: per pod, but for p95
    /// latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub value: Option<String>,

    /// The signal's target, as in `spec.autoscaling.targets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<i32>,

    /// What kept the number of pods from going as far as the signal asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<Limit>,

    /// All of it, for people.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// What keeps the number of pods from going as far as a signal asks for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `minReplicas`, of the spec or of a schedule.
    MinReplicas,
    /// `maxReplicas`.
    MaxReplicas,
    /// The policies of the behaviour.
    Policies,
    /// The stabilization window of the behaviour.
    StabilizationWindow,
}

/// Types of the conditions in a [`ModelServiceStatus`].
pub mod condition {
    /// The summary: the model is served and scaled as the spec says.
    pub const READY: &str = "Ready";
    /// At least one pod has fetched and loaded the model that the spec names.
    pub const MODEL_LOADED: &str = "ModelLoaded";
    /// At least one pod is ready, so that requests are served, be it with the former spec. The reason
    /// tells whether there are as many as the spec asks for at least.
    pub const WORKLOAD_AVAILABLE: &str = "WorkloadAvailable";
    /// The autoscaler that the spec names exists and isn't kept from scaling. Whether it has readings
    /// to follow is [`METRICS_HEALTHY`].
    pub const AUTOSCALING_READY: &str = "AutoscalingReady";
    /// The autoscaler gets readings for everything that it follows. Not part of the summary.
    pub const METRICS_HEALTHY: &str = "MetricsHealthy";
    /// No batch mixes rows whose outputs are known to depend on each other. Not part of the summary.
    pub const BATCHING_SAFE: &str = "BatchingSafe";
    /// Every pod is made from the present spec, and once so many as it asks for at least were ready.
    pub const ROLLOUT_COMPLETE: &str = "RolloutComplete";

    /// No other operator answers for the ModelService. Only there, and false, where one leaves it to another: the one
    /// that leaves it writes nothing else.
    pub const SOLE_OPERATOR: &str = "SoleOperator";

    /// All but [`SOLE_OPERATOR`], in the order in which they stand in a status.
    pub const ALL: [&str; 7] = [
        READY,
        MODEL_LOADED,
        WORKLOAD_AVAILABLE,
        AUTOSCALING_READY,
        METRICS_HEALTHY,
        BATCHING_SAFE,
        ROLLOUT_COMPLETE,
    ];
}

/// A spec as it was: that of another version of the operator may have other fields.
fn spec_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "x-kubernetes-map-type": "atomic",
    })
}

/// `metav1.Condition` with the bounds that Kubernetes states for it, keyed by type.
fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "description": "What the condition is about.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": "^[A-Za-z][A-Za-z0-9]*$",
                },
                "status": {
                    "description": "Whether it holds.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "observedGeneration": {
                    "description": "The metadata.generation that the condition is about.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "lastTransitionTime": {
                    "description": "When status last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "reason": {
                    "description": "Why, as a stable name.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "description": "Why and what to do, for people.",
                    "type": "string",
                    "maxLength": 32768,
                },
            },
        },
    })
}
