//! What each pod should carry, signal by signal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Target values of the signals. The autoscaler follows only the targets that are set.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// Target for the mean CPU utilization, as a percentage of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu_utilization_percent: Option<i32>,

    /// Target for the mean memory utilization, as a percentage of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub memory_utilization_percent: Option<i32>,

    /// Target for the requests that arrive per second and pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: Option<i32>,

    /// Target for the rows in the queue, per pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub queue_size: Option<i32>,

    /// Target for the 95th percentile of the latency, in milliseconds. With KEDA it is that of all pods together, with
    /// an HPA the mean of the values of the pods.
    #[serde(
        default,
        rename = "p95LatencyMilliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 600_000))]
    pub p95_latency_milliseconds: Option<i32>,

    /// Target for the requests that are accepted and not yet answered, per pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<i32>,

    /// Target for the work that arrives, as a percentage of the measured capacity of a pod at full batches. Above 100,
    /// a pod falls behind. It needs no tuning for a model. Recommended: 75.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub load_percent: Option<i32>,
}

/// Signal of the autoscaler, by the name of its field in `spec.autoscaling.targets`.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[serde(rename_all = "camelCase")]
pub enum Signal {
    /// Mean CPU use.
    CpuUtilizationPercent,
    /// Mean memory use.
    MemoryUtilizationPercent,
    /// Requests that arrive.
    RequestsPerSecond,
    /// Rows that wait.
    QueueSize,
    /// 95th percentile of the latency.
    P95LatencyMilliseconds,
    /// Requests that were accepted and not yet answered.
    Concurrency,
    /// Work that arrives.
    LoadPercent,
}

impl Signal {
    /// All of them, in the order of the fields of [`Targets`].
    pub const ALL: [Self; 7] = [
        Self::CpuUtilizationPercent,
        Self::MemoryUtilizationPercent,
        Self::RequestsPerSecond,
        Self::QueueSize,
        Self::P95LatencyMilliseconds,
        Self::Concurrency,
        Self::LoadPercent,
    ];

    /// The field's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CpuUtilizationPercent => "cpuUtilizationPercent",
            Self::MemoryUtilizationPercent => "memoryUtilizationPercent",
            Self::RequestsPerSecond => "requestsPerSecond",
            Self::QueueSize => "queueSize",
            Self::P95LatencyMilliseconds => "p95LatencyMilliseconds",
            Self::Concurrency => "concurrency",
            Self::LoadPercent => "loadPercent",
        }
    }

    /// The signal whose field has a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.as_str() == name)
    }
}

impl Targets {
    /// The target of a signal, in the unit of its field.
    #[must_use]
    pub const fn of(&self, signal: Signal) -> Option<i32> {
        match signal {
            Signal::CpuUtilizationPercent => self.cpu_utilization_percent,
            Signal::MemoryUtilizationPercent => self.memory_utilization_percent,
            Signal::RequestsPerSecond => self.requests_per_second,
            Signal::QueueSize => self.queue_size,
            Signal::P95LatencyMilliseconds => self.p95_latency_milliseconds,
            Signal::Concurrency => self.concurrency,
            Signal::LoadPercent => self.load_percent,
        }
    }

    /// These targets but one.
    #[must_use]
    pub const fn without(mut self, signal: Signal) -> Self {
        match signal {
            Signal::CpuUtilizationPercent => self.cpu_utilization_percent = None,
            Signal::MemoryUtilizationPercent => self.memory_utilization_percent = None,
            Signal::RequestsPerSecond => self.requests_per_second = None,
            Signal::QueueSize => self.queue_size = None,
            Signal::P95LatencyMilliseconds => self.p95_latency_milliseconds = None,
            Signal::Concurrency => self.concurrency = None,
            Signal::LoadPercent => self.load_percent = None,
        }
        self
    }
}
