//! The type of `spec.autoscaling`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{behavior::Behavior, schedule::Schedule, schema::OBJECT_NAME, targets::Targets};

/// Default of `minReplicas`.
pub const DEFAULT_MIN_REPLICAS: i32 = 2;

/// Default of `maxReplicas` with an engine other than `KEDA`.
pub const DEFAULT_MAX_REPLICAS: i32 = 20;

/// Default of `maxReplicas` with `engine: KEDA`.
pub const DEFAULT_KEDA_MAX_REPLICAS: i32 = 50;

/// Autoscaling of the Deployment.
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
    /// Autoscaler that sets the replicas. `HPA`: a HorizontalPodAutoscaler. `KEDA`: a KEDA ScaledObject. `None`: no
    /// autoscaler, `spec.replicas` is used. `Auto`: KEDA if it is installed and a target other than CPU and memory is
    /// set, otherwise an HPA.
    #[serde(default)]
    pub engine: Engine,

    /// Minimum replicas. Default: 2, or `maxReplicas` if that is lower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: Option<i32>,

    /// Maximum replicas. Default: 50 with `engine: KEDA`, otherwise 20. The default is raised to the highest
    /// `minReplicas`, including those in `schedules`. If a new autoscaler finds more replicas, their number is the
    /// default until low load reduces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: Option<i32>,

    /// Target values of the signals. The autoscaler follows only the targets that are set; the one that needs the most
    /// replicas decides. If none is set, `Auto` and `HPA` follow `cpuUtilizationPercent` 70 and
    /// `memoryUtilizationPercent` 80. `KEDA` then follows these and `requestsPerSecond` 100, `queueSize` 20 and
    /// `p95LatencyMilliseconds` 500.
    #[serde(default)]
    pub targets: Targets,

    /// Scaling behavior: a preset, and the fields of an `autoscaling/v2` HorizontalPodAutoscaler `behavior` that
    /// override it.
    #[serde(default)]
    pub behavior: Behavior,

    /// Time windows with higher minimum replicas than `minReplicas`. If several are active, the highest minimum
    /// applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub schedules: Vec<Schedule>,

    /// KEDA settings. Only allowed with `engine: KEDA` or `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keda: Option<Keda>,
}

/// Autoscaler that is requested.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// KEDA if it is installed and a serving signal has a target, otherwise a HorizontalPodAutoscaler.
    #[default]
    Auto,
    /// A HorizontalPodAutoscaler. It reads CPU and memory from metrics-server, and serving signals from a custom
    /// metrics API, such as that of prometheus-adapter.
    #[serde(rename = "HPA")]
    Hpa,
    /// A KEDA ScaledObject, which can follow every target. Requires KEDA, Prometheus, and metrics-server for CPU and
    /// memory.
    #[serde(rename = "KEDA")]
    Keda,
    /// No autoscaler: `spec.replicas` pods.
    None,
}

/// Autoscaler that sets the replicas: the engine that `Auto` selected, otherwise the requested one.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveEngine {
    /// A HorizontalPodAutoscaler.
    #[serde(rename = "HPA")]
    Hpa,
    /// A KEDA ScaledObject.
    #[serde(rename = "KEDA")]
    Keda,
    /// No autoscaler: `spec.replicas` pods.
    None,
}

/// KEDA settings.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.authModes) || has(self.authenticationRef)")
        .message("spec.autoscaling.keda.authModes needs spec.autoscaling.keda.authenticationRef, which has what they ask for")
)]
pub struct Keda {
    /// KEDA polling interval of the ScaledObject, in seconds. It does not change how fast replicas are scaled. Only the
    /// HPA that KEDA creates scales: it reads the triggers at its own sync period, 15 s by default.
    #[serde(default = "polling_interval_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub polling_interval_seconds: i32,

    /// Cooldown period, in seconds, from the last activity until KEDA scales to zero. It has no effect while
    /// `minReplicas` is 1 or more.
    #[serde(default = "cooldown_period_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub cooldown_period_seconds: i32,

    /// Address of the Prometheus server that scrapes the pods. Default: the address in the operator's settings. Any
    /// other address must be among those that the operator allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r#"self.matches('^https?://([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?|\\[[0-9a-fA-F:.]+\\])(:[0-9]{1,5})?(/[-._~a-zA-Z0-9]+)*/?$') && !self.matches('/[.]{1,2}(/|$)')"#)
        .message("spec.autoscaling.keda.prometheusAddress must be http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user, password, query, fragment or escapes"))]
    pub prometheus_address: Option<String>,

    /// Reference to the KEDA authentication object with the credentials for this Prometheus server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_ref: Option<AuthenticationRef>,

    /// KEDA authentication modes for Prometheus (`authModes` of the trigger). Default: pod identity or cloud identity,
    /// if `authenticationRef` has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub auth_modes: Vec<AuthMode>,

    /// Number of consecutive failed readings after which a trigger counts as unknown. The current replicas are then
    /// kept.
    #[serde(default = "fallback_failure_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub fallback_failure_threshold: i32,
}

/// Reference to a KEDA authentication object.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationRef {
    /// Name of the referenced authentication object. A `TriggerAuthentication` must be in the namespace of the
    /// ModelService.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(format!("self.matches('{OBJECT_NAME}')"))
        .message("spec.autoscaling.keda.authenticationRef.name must be the name of an object"))]
    pub name: String,

    /// Kind of the referenced authentication object.
    #[serde(default)]
    pub kind: AuthenticationKind,
}

/// Kind of a KEDA authentication object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthenticationKind {
    /// Of a namespace.
    #[default]
    TriggerAuthentication,
    /// Of the whole cluster.
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

/// KEDA authentication mode for Prometheus
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
    /// Its name in KEDA.
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
