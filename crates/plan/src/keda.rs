//! The part of KEDA's ScaledObject that the operator reads and writes
//! (<https://keda.sh/docs/latest/reference/scaledobject-spec/>).

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Prefix of the name of the HorizontalPodAutoscaler that KEDA creates for a ScaledObject.
pub const HPA_NAME_PREFIX: &str = "keda-hpa-";

/// Annotations that pause a ScaledObject
/// (<https://keda.sh/docs/latest/concepts/scaling-deployments/#pausing-autoscaling>).
const PAUSED_ANNOTATION: &str = "autoscaling.keda.sh/paused";
const PAUSED_REPLICAS_ANNOTATION: &str = "autoscaling.keda.sh/paused-replicas";

/// Reasons of `Ready` that are about readings, not about the ScaledObject.
const TRIGGER_FAULTS: [&str; 2] = ["PartialTriggerError", "TriggerError"];

/// Spec of a ScaledObject.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "keda.sh",
    version = "v1alpha1",
    kind = "ScaledObject",
    namespaced,
    schema = "disabled",
    status = "ScaledObjectStatus",
    derive = "PartialEq"
)]
pub struct ScaledObjectSpec {
    /// The scaled object.
    pub scale_target_ref: ScaleTargetRef,
    /// How often KEDA checks the triggers, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polling_interval: Option<i32>,
    /// Time from the last activity until KEDA scales to zero, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown_period: Option<i32>,
    /// Minimum replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replica_count: Option<i32>,
    /// Maximum replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replica_count: Option<i32>,
    /// Advanced settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Advanced>,
    /// The triggers.
    pub triggers: Vec<Trigger>,
    /// Replicas while a trigger can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// The target of a ScaledObject.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// API version. KEDA's default is `apps/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind. KEDA's default is `Deployment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
}

/// Advanced settings of a ScaledObject.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Advanced {
    /// Settings of the HorizontalPodAutoscaler that KEDA creates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizontal_pod_autoscaler_config: Option<HorizontalPodAutoscalerConfig>,
}

/// Settings of the HorizontalPodAutoscaler that KEDA creates.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HorizontalPodAutoscalerConfig {
    /// The scaling behavior.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

/// A trigger of a ScaledObject.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Name of the scaler.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name of the trigger, unique in its ScaledObject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How the reading is compared with the target: `AverageValue` (per pod), `Value` or `Utilization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
    /// Settings of the scaler.
    pub metadata: BTreeMap<String, String>,
    /// Credentials of the scaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_ref: Option<TriggerAuthenticationRef>,
}

/// Credentials of a scaler.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TriggerAuthenticationRef {
    /// Name.
    pub name: String,
    /// Kind. KEDA's default is `TriggerAuthentication`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Replicas while a trigger can't be read.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Consecutive failed readings before the fallback is active.
    pub failure_threshold: i32,
    /// Number of replicas.
    pub replicas: i32,
    /// How `replicas` and the current replicas are combined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<String>,
}

/// Status of a ScaledObject.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaledObjectStatus {
    /// KEDA's conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ScaledObjectCondition>,
    /// Health of the readings, by KEDA's metric name of a trigger. KEDA writes it only if there is a fallback.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub health: BTreeMap<String, MetricHealth>,
}

/// Health of a trigger's readings.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MetricHealth {
    /// `Happy` or `Failing`: the result of the last reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// A condition of a ScaledObject.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaledObjectCondition {
    /// `Ready`, `Active`, `Fallback`, `Paused` or `HPAActive`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The reason, as a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl ScaledObject {
    /// Whether KEDA is paused: it doesn't change the replicas.
    pub(crate) fn is_paused(&self) -> bool {
        let is_asked = self
            .metadata
            .annotations
            .iter()
            .flatten()
            .any(|(key, value)| {
                key == PAUSED_REPLICAS_ANNOTATION || (key == PAUSED_ANNOTATION && value == "true")
            });
        is_asked
            || self
                .condition("Paused")
                .is_some_and(|paused| paused.status == "True")
    }

    /// Whether KEDA has processed it. KEDA sets a finalizer and writes conditions first.
    pub(crate) fn is_processed(&self) -> bool {
        let has_finalizers = |names: &Vec<String>| !names.is_empty();
        self.metadata
            .finalizers
            .as_ref()
            .is_some_and(has_finalizers)
            || self
                .status
                .as_ref()
                .is_some_and(|status| !status.conditions.is_empty())
    }

    /// Why KEDA can't read all triggers, if `Ready` reports that instead of the state of the ScaledObject.
    pub(crate) fn trigger_fault(&self) -> Option<&str> {
        let ready = self
            .condition("Ready")
            .filter(|ready| ready.status != "True")?;
        ready
            .reason
            .as_deref()
            .filter(|reason| TRIGGER_FAULTS.contains(reason))
    }

    /// Metrics whose last reading failed, by KEDA's names.
    pub(crate) fn failing_metrics(&self) -> impl Iterator<Item = &str> {
        let health = self.status.as_ref().map(|status| &status.health);
        health
            .into_iter()
            .flatten()
            .filter(|(_, health)| health.status.as_deref() == Some("Failing"))
            .map(|(metric, _)| metric.as_str())
    }

    /// The condition of a type.
    pub(crate) fn condition(&self, kind: &str) -> Option<&ScaledObjectCondition> {
        self.status
            .as_ref()?
            .conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }
}
