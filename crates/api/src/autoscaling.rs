//! How the number of pods follows the load.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::behavior::Behavior;

/// Most pods with `engine: HPA` where `maxReplicas` is left out.
pub const DEFAULT_HPA_MAX_REPLICAS: i32 = 20;

/// Most pods with `engine: KEDA` where `maxReplicas` is left out.
pub const DEFAULT_KEDA_MAX_REPLICAS: i32 = 50;

/// How the number of pods follows the load.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= (has(self.maxReplicas) ? self.maxReplicas : (self.engine == 'KEDA' ? 50 : 20))")
        .message("spec.autoscaling.minReplicas must be at most spec.autoscaling.maxReplicas, which is 20 for HPA and 50 for KEDA where it is left out"),
    validation = Rule::new("!has(self.keda) || self.engine == 'KEDA'")
        .message("spec.autoscaling.keda is only allowed with spec.autoscaling.engine KEDA")
)]
pub struct Autoscaling {
    /// What sets the number of pods.
    #[serde(default)]
    pub engine: Engine,

    /// Fewest pods.
    #[serde(default = "min_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,

    /// Most pods. Default: 20 with HPA, 50 with KEDA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: Option<i32>,

    /// What each pod should carry. The signal that asks for the most pods decides.
    #[serde(default)]
    pub targets: Targets,

    /// How fast the number of pods changes, as in an `autoscaling/v2` HorizontalPodAutoscaler: by
    /// default fast up and slowly down.
    #[serde(default)]
    pub behavior: Behavior,

    /// Settings of KEDA. Only with `engine: KEDA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keda: Option<Keda>,
}

impl Default for Autoscaling {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            min_replicas: min_replicas(),
            max_replicas: None,
            targets: Targets::default(),
            behavior: Behavior::default(),
            keda: None,
        }
    }
}

/// What sets the number of pods.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// A HorizontalPodAutoscaler on CPU and memory. Needs metrics-server.
    #[default]
    #[serde(rename = "HPA")]
    Hpa,
    /// A KEDA ScaledObject on request rate, queue, p95 latency, CPU and memory. Needs KEDA,
    /// Prometheus and metrics-server.
    #[serde(rename = "KEDA")]
    Keda,
    /// Nothing: `spec.replicas` pods.
    None,
}

/// What each pod should carry.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// Mean CPU use, in percent of the requested CPU.
    #[serde(default = "cpu_utilization_percent")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu_utilization_percent: i32,

    /// Mean memory use, in percent of the requested memory.
    #[serde(default = "memory_utilization_percent")]
    #[schemars(range(min = 1, max = 1000))]
    pub memory_utilization_percent: i32,

    /// Requests per second and pod. Only KEDA follows it; default there: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: Option<i32>,

    /// Rows that wait per pod. Only KEDA follows it; default there: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub queue_size: Option<i32>,

    /// 95th percentile of the latency of all pods together, in milliseconds. Only KEDA follows it;
    /// default there: 500.
    #[serde(
        default,
        rename = "p95LatencyMilliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 600_000))]
    pub p95_latency_milliseconds: Option<i32>,
}

impl Targets {
    /// Default of `requestsPerSecond` with KEDA, in requests per second and pod.
    pub const REQUESTS_PER_SECOND: i32 = 100;
    /// Default of `queueSize` with KEDA, in rows per pod.
    pub const QUEUE_SIZE: i32 = 20;
    /// Default of `p95LatencyMilliseconds` with KEDA.
    pub const P95_LATENCY_MILLISECONDS: i32 = 500;
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            cpu_utilization_percent: cpu_utilization_percent(),
            memory_utilization_percent: memory_utilization_percent(),
            requests_per_second: None,
            queue_size: None,
            p95_latency_milliseconds: None,
        }
    }
}

/// Settings of KEDA.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Keda {
    /// How often KEDA looks at the triggers itself, in seconds. The HPA that KEDA makes asks for
    /// their values on its own clock, every 15 s by default.
    #[serde(default = "polling_interval_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub polling_interval_seconds: i32,

    /// How long KEDA waits after the last activity before it scales to zero, in seconds. Without
    /// effect while `minReplicas` is 1 or more.
    #[serde(default = "cooldown_period_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub cooldown_period_seconds: i32,

    /// Address of the Prometheus that scrapes the pods. Default: the one that the operator was
    /// installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[!-~]+$')")
        .message("spec.autoscaling.keda.prometheusAddress must begin with http:// or https:// and have no blanks"))]
    pub prometheus_address: Option<String>,

    /// Failed readings in a row after which a trigger counts as unknown, and the present number of
    /// pods is kept.
    #[serde(default = "fallback_failure_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub fallback_failure_threshold: i32,
}

impl Default for Keda {
    fn default() -> Self {
        Self {
            polling_interval_seconds: polling_interval_seconds(),
            cooldown_period_seconds: cooldown_period_seconds(),
            prometheus_address: None,
            fallback_failure_threshold: fallback_failure_threshold(),
        }
    }
}

const fn min_replicas() -> i32 {
    2
}

const fn cpu_utilization_percent() -> i32 {
    70
}

const fn memory_utilization_percent() -> i32 {
    80
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
