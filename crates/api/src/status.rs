//! The type of `status`, which the operator writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{autoscaling::ActiveEngine, targets::Signal};

/// Observed state of the ModelService.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelServiceStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Current conditions: `Ready` (the summary), `ModelLoaded`, `WorkloadAvailable`, `AutoscalingReady`,
    /// `MetricsHealthy`, `BatchingSafe` and `RolloutComplete`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,

    /// Current replicas: the number of pods that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Ready replicas: the number of pods that are ready to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// Desired replicas, set by the autoscaler or by `spec.replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,

    /// Autoscaler that sets the replicas, the minimum and maximum replicas, and the reasons for the latest changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingStatus>,

    /// Model of `spec.model`, and its state as reported by the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelStatus>,

    /// Last valid spec. While the current spec is invalid, it stays in force and its objects are maintained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_valid: Option<LastValid>,

    /// Image reference of the server in the pods, or in the pods of the rollout in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,

    /// Label selector of the pods, as the scale subresource requires it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,

    /// URL of the model inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub url: Option<String>,
}

/// Last valid spec.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastValid {
    /// The `metadata.generation` of the last valid spec.
    pub generation: i64,

    /// Content of the last valid spec.
    #[schemars(schema_with = "spec_schema")]
    pub spec: Value,
}

/// Model of `spec.model`, and its state as reported by the pods.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// Source of the model file: `spec.model.uri`, or `secret://NAME/KEY` for `spec.model.uriFrom`.
    #[schemars(length(max = 2048))]
    pub uri: String,

    /// SHA-256 of the model file, if `spec.model.sha256` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha256: Option<String>,

    /// Whether requests of several clients share batches. Unset until a pod has reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching: Option<BatchingStatus>,

    /// Report of a pod about rows whose outputs in a batch differed from those of the row alone. It is kept until
    /// `spec.model` names another file. Until then, with `spec.server.batching.mode: Auto`, requests run alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub sentinel_mismatch: Option<String>,

    /// SHA-256 of the model file in the newest pod, set when pods of one ConfigMap served different files. The content
    /// of the ConfigMap was replaced, and all pods were recreated for it. It is kept until `spec.model` names another
    /// file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub replacement_sha256: Option<String>,

    /// Memory of a pod at rest, in MiB: with its model loaded and warm, before any request. It is the maximum that any
    /// pod has reported. If it leaves no room below `targets.memoryUtilizationPercent`, the autoscaler does not follow
    /// that target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_at_rest_mebibytes: Option<i32>,
}

/// Whether requests of several clients share batches.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BatchingStatus {
    /// Whether requests of several clients share batches in every pod that was asked.
    pub enabled: bool,

    /// Machine-readable reason, such as `Proven`, `TrialPassed`, `Dependent` or `SentinelMismatch`.
    #[schemars(length(max = 64))]
    pub reason: String,

    /// Human-readable reason, and what would change the result.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Autoscaler that sets the replicas, the minimum and maximum replicas, and the reasons for the latest changes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingStatus {
    /// Autoscaler that sets the replicas: the engine that `spec.autoscaling.engine: Auto` selected, otherwise the
    /// engine of the spec.
    pub engine: ActiveEngine,

    /// Current minimum replicas. A schedule may raise it above `spec.autoscaling.minReplicas`.
    pub min_replicas: i32,

    /// Current maximum replicas.
    pub max_replicas: i32,

    /// Latest changes of the replicas, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub decisions: Vec<Decision>,
}

/// Change of the replicas that the autoscaler requested.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Time of the change.
    pub time: Time,

    /// Replicas before the change.
    pub from: i32,

    /// Replicas after the change.
    pub to: i32,

    /// Signal that caused the change, by the name of its field in `spec.autoscaling.targets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,

    /// Reading of the signal as a decimal number, in the unit of its target. It is per pod, except for the p95 latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub value: Option<String>,

    /// Target of the signal, as in `spec.autoscaling.targets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<i32>,

    /// Limit that kept the replicas from reaching the number that the signal requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<Limit>,

    /// Human-readable description of the change, with all of these fields.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Limit that kept the replicas from reaching the number that the signal requested.
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
    /// At least one pod is ready, possibly with a former spec, so that requests are served. The reason says whether the
    /// minimum number of pods is ready.
    pub const WORKLOAD_AVAILABLE: &str = "WorkloadAvailable";
    /// The autoscaler of the spec exists and can scale. [`METRICS_HEALTHY`] says whether it has readings.
    pub const AUTOSCALING_READY: &str = "AutoscalingReady";
    /// The autoscaler receives readings for all its targets. Not part of the summary.
    pub const METRICS_HEALTHY: &str = "MetricsHealthy";
    /// No batch mixes rows whose outputs are known to depend on each other. Not part of the summary.
    pub const BATCHING_SAFE: &str = "BatchingSafe";
    /// Every pod has the current spec, and the minimum number of pods has been ready at least once.
    pub const ROLLOUT_COMPLETE: &str = "RolloutComplete";

    /// No other operator manages the ModelService. It is only present, with the status `False`, if an operator has left
    /// the ModelService to another one. The operator that left it writes no other condition.
    pub const SOLE_OPERATOR: &str = "SoleOperator";

    /// All but [`SOLE_OPERATOR`], in their order in a status.
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

/// The schema of a former spec. Another version of the operator may have written it with other fields.
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
                    "description": "Type of the condition.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": "^[A-Za-z][A-Za-z0-9]*$",
                },
                "status": {
                    "description": "Status of the condition.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "observedGeneration": {
                    "description": "The `metadata.generation` that the condition describes.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "lastTransitionTime": {
                    "description": "Time of the last change of `status`.",
                    "type": "string",
                    "format": "date-time",
                },
                "reason": {
                    "description": "Machine-readable reason.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "description": "Human-readable reason, and what to do about it.",
                    "type": "string",
                    "maxLength": 32768,
                },
            },
        },
    })
}
