//! The part of KEDA's ScaledObject that is written and read here
//! (<https://keda.sh/docs/latest/reference/scaledobject-spec/>).

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Prefix of the name of the HorizontalPodAutoscaler that KEDA makes for a ScaledObject.
pub const HPA_NAME_PREFIX: &str = "keda-hpa-";

/// Annotations with which people pause a ScaledObject
/// (<https://keda.sh/docs/latest/concepts/scaling-deployments/#pausing-autoscaling>).
const PAUSED_ANNOTATION: &str = "autoscaling.keda.sh/paused";
const PAUSED_REPLICAS_ANNOTATION: &str = "autoscaling.keda.sh/paused-replicas";

/// Reasons of `Ready` that are about readings and not about the ScaledObject.
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
    /// What is scaled.
    pub scale_target_ref: ScaleTargetRef,
    /// How often KEDA looks at the triggers, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polling_interval: Option<i32>,
    /// How long after the last activity KEDA scales to zero, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown_period: Option<i32>,
    /// Fewest pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replica_count: Option<i32>,
    /// Most pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replica_count: Option<i32>,
    /// Settings that few need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Advanced>,
    /// What is followed.
    pub triggers: Vec<Trigger>,
    /// What holds while a trigger can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// What a ScaledObject scales.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// API version; KEDA takes `apps/v1` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind; KEDA takes `Deployment` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
}

/// Settings of a ScaledObject that few need.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Advanced {
    /// Settings of the HorizontalPodAutoscaler that KEDA makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizontal_pod_autoscaler_config: Option<HorizontalPodAutoscalerConfig>,
}

/// Settings of the HorizontalPodAutoscaler that KEDA makes.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HorizontalPodAutoscalerConfig {
    /// How fast the number of pods changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

/// What a ScaledObject follows.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Name of the scaler.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name of the trigger, unique in its ScaledObject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How the reading is compared with the target: `AverageValue` (per pod), `Value` or
    /// `Utilization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
    /// Settings of the scaler.
    pub metadata: BTreeMap<String, String>,
    /// What the scaler logs in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_ref: Option<TriggerAuthenticationRef>,
}

/// What a scaler logs in with.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TriggerAuthenticationRef {
    /// Name.
    pub name: String,
    /// Kind; KEDA takes `TriggerAuthentication` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// What holds while a trigger can't be read.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Failed readings in a row before it holds.
    pub failure_threshold: i32,
    /// Pods.
    pub replicas: i32,
    /// How `replicas` and the present number of pods are weighed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<String>,
}

/// Status of a ScaledObject.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaledObjectStatus {
    /// What KEDA says about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ScaledObjectCondition>,
    /// How reading goes, by the name of the metric that KEDA makes of a trigger. Kept only where there
    /// is a fallback.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub health: BTreeMap<String, MetricHealth>,
}

/// How reading a trigger goes.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MetricHealth {
    /// `Happy` or `Failing`: what the last try was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// What KEDA says about a ScaledObject.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaledObjectCondition {
    /// `Ready`, `Active`, `Fallback`, `Paused` or `HPAActive`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, as a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl ScaledObject {
    /// Whether somebody has told KEDA to leave the number of pods alone.
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

    /// Whether KEDA has seen it: it sets a finalizer and writes conditions before anything else.
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

    /// Why KEDA can't read all of the triggers, where it says so in place of its judgement on the
    /// ScaledObject.
    pub(crate) fn trigger_fault(&self) -> Option<&str> {
        let ready = self
            .condition("Ready")
            .filter(|ready| ready.status != "True")?;
        ready
            .reason
            .as_deref()
            .filter(|reason| TRIGGER_FAULTS.contains(reason))
    }

    /// Metrics that could not be read at the last try, by KEDA's names.
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
