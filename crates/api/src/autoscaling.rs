//! How the number of pods follows the load.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{behavior::Behavior, schedule::Schedule, schema::OBJECT_NAME, targets::Targets};

/// Minimum replicas where `minReplicas` is left out.
pub const DEFAULT_MIN_REPLICAS: i32 = 2;

/// Most pods where `maxReplicas` is left out and `engine` isn't `KEDA`.
pub const DEFAULT_MAX_REPLICAS: i32 = 20;

/// Most pods with `engine: KEDA` where `maxReplicas` is left out.
pub const DEFAULT_KEDA_MAX_REPLICAS: i32 = 50;

/// How the number of pods follows the load.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas")
        .message("spec.autoscaling.minReplicas must be at most spec.autoscaling.maxReplicas"),
    validation = Rule::new("!has(self.keda) || self.engine == 'KEDA' || self.engine == 'Auto'")
        .message("spec.autoscaling.keda is only allowed with spec.autoscaling.engine KEDA or Auto"),
    validation = Rule::new("!has(self.schedules) || self.engine != 'None'")
        .message("spec.autoscaling.schedules is not allowed with spec.autoscaling.engine None: the number of pods is fixed"),
    validation = Rule::new("!has(self.schedules) || !has(self.maxReplicas) || self.schedules.all(schedule, schedule.minReplicas <= self.maxReplicas)")
        .message("spec.autoscaling.schedules[].minReplicas must be at most spec.autoscaling.maxReplicas")
)]
pub struct Autoscaling {
    /// What sets the number of pods.
    #[serde(default)]
    pub engine: Engine,

    /// Minimum replicas. Default: 2, or `maxReplicas` where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: Option<i32>,

    /// Maximum replicas. Default: 50 with `engine: KEDA`, 20 else, or `minReplicas`, here and in `schedules`, where
    /// that is more; where a new autoscaler finds more pods, those, until they go for want of load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: Option<i32>,

    /// What each pod should carry. Exactly the targets that are set are followed; the one that asks
    /// for the most pods decides. Where none is set, the engines `Auto` and `HPA` follow
    /// `cpuUtilizationPercent` 70 and `memoryUtilizationPercent` 80, and `KEDA` those and
    /// `requestsPerSecond` 100, `queueSize` 20 and `p95LatencyMilliseconds` 500.
    #[serde(default)]
    pub targets: Targets,

    /// How fast the number of pods changes: a preset, or any `behavior` of an `autoscaling/v2`
    /// HorizontalPodAutoscaler.
    #[serde(default)]
    pub behavior: Behavior,

    /// Times at which there are more pods at least than `minReplicas` says. Where several hold, the
    /// highest counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub schedules: Vec<Schedule>,

    /// Settings of KEDA. Only with `engine: KEDA` or `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keda: Option<Keda>,
}

/// What is asked to set the number of pods.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// KEDA where it is installed and a target needs it, one that serving itself reports; else a
    /// HorizontalPodAutoscaler.
    #[default]
    Auto,
    /// A HorizontalPodAutoscaler. It takes CPU and memory from metrics-server, and what serving
    /// itself reports from a custom metrics API, such as prometheus-adapter's.
    #[serde(rename = "HPA")]
    Hpa,
    /// A KEDA ScaledObject, which follows every target. Needs KEDA, Prometheus, and metrics-server
    /// for CPU and memory.
    #[serde(rename = "KEDA")]
    Keda,
    /// Nothing: `spec.replicas` pods.
    None,
}

/// What sets the number of pods: what `Auto` has become, and else what was asked for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveEngine {
    /// A HorizontalPodAutoscaler.
    #[serde(rename = "HPA")]
    Hpa,
    /// A KEDA ScaledObject.
    #[serde(rename = "KEDA")]
    Keda,
    /// Nothing: `spec.replicas` pods.
    None,
}

/// Settings of KEDA.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.authModes) || has(self.authenticationRef)")
        .message("spec.autoscaling.keda.authModes needs spec.autoscaling.keda.authenticationRef, which has what they ask for")
)]
pub struct Keda {
    /// How often KEDA looks at the ScaledObject itself, in seconds. The HPA that KEDA makes asks for
    /// the triggers' values on its own clock, every 15 s by default, and that clock alone scales.
    #[serde(default = "polling_interval_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub polling_interval_seconds: i32,

    /// How long KEDA waits after the last activity before it scales to zero, in seconds. Without
    /// effect while `minReplicas` is 1 or more.
    #[serde(default = "cooldown_period_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub cooldown_period_seconds: i32,

    /// Address of the Prometheus that scrapes the pods. Default: the one that the operator was
    /// installed with. Any other has to be among those that the operator was told to allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r#"self.matches('^https?://([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?|\\[[0-9a-fA-F:.]+\\])(:[0-9]{1,5})?(/[-._~a-zA-Z0-9]+)*/?$') && !self.matches('/[.]{1,2}(/|$)')"#)
        .message("spec.autoscaling.keda.prometheusAddress must be http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user, password, query, fragment or escapes"))]
    pub prometheus_address: Option<String>,

    /// What KEDA logs in to that Prometheus with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_ref: Option<AuthenticationRef>,

    /// How it logs in, in KEDA's words. Default: as the identity of a pod or a cloud, where `authenticationRef` has
    /// one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub auth_modes: Vec<AuthMode>,

    /// Failed readings in a row after which a trigger counts as unknown, and the present number of
    /// pods is kept.
    #[serde(default = "fallback_failure_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub fallback_failure_threshold: i32,
}

/// An object of KEDA's that has a login.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationRef {
    /// Its name; a `TriggerAuthentication` is in the namespace of the ModelService.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(format!("self.matches('{OBJECT_NAME}')"))
        .message("spec.autoscaling.keda.authenticationRef.name must be the name of an object"))]
    pub name: String,

    /// Its kind.
    #[serde(default)]
    pub kind: AuthenticationKind,
}

/// Kinds of KEDA's that have a login.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthenticationKind {
    /// One of a namespace.
    #[default]
    TriggerAuthentication,
    /// One of the cluster.
    ClusterTriggerAuthentication,
}

impl AuthenticationKind {
    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TriggerAuthentication => "TriggerAuthentication",
            Self::ClusterTriggerAuthentication => "ClusterTriggerAuthentication",
        }
    }
}

/// How KEDA logs in to Prometheus
/// (<https://keda.sh/docs/latest/scalers/prometheus/#authentication-parameters>).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// A token.
    Bearer,
    /// A user and a password.
    Basic,
    /// A certificate.
    Tls,
    /// A header.
    Custom,
}

impl AuthMode {
    /// KEDA's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Tls => "tls",
            Self::Custom => "custom",
        }
    }
}

impl Default for Keda {
    fn default() -> Self {
        Self {
            polling_interval_seconds: polling_interval_seconds(),
            cooldown_period_seconds: cooldown_period_seconds(),
            prometheus_address: None,
            authentication_ref: None,
            auth_modes: Vec::new(),
            fallback_failure_threshold: fallback_failure_threshold(),
        }
    }
}

const fn polling_interval_seconds() -> i32 {
    15
}

const fn cooldown_period_seconds() -> i32 {
    300
}

const fn fallback_failure_threshold() -> i32 {
    3
}
