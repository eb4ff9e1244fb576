//! How each pod serves the model.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use springtide_contract::defaults;

use crate::resources::Resources;

/// How each pod serves the model.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.batching.maxWaitMilliseconds < self.requestTimeoutMilliseconds")
        .message("spec.server.batching.maxWaitMilliseconds must be less than spec.server.requestTimeoutMilliseconds"),
    validation = Rule::new("self.batching.maxBatchRows <= self.maxQueueRows")
        .message("spec.server.batching.maxBatchRows must be at most spec.server.maxQueueRows")
)]
pub struct Server {
    /// Image of the server. Default: the image that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]+$')")
        .message("spec.server.image must be an image reference without blanks"))]
    pub image: Option<String>,

    /// When the image is pulled.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,

    /// Time that a pod may take from the start of the server until it is ready, in seconds: it loads its model and
    /// warms up. Before that the model is fetched, for as long as bytes come.
    #[serde(default = "startup_timeout_seconds")]
    #[schemars(range(min = 10, max = 86_400))]
    pub startup_timeout_seconds: i32,

    /// What ONNX Runtime computes on.
    #[serde(default)]
    pub execution_provider: ExecutionProvider,

    /// How requests are put together.
    #[serde(default)]
    pub batching: Batching,

    /// Most rows that wait in a pod's queue. Further requests are answered with 429.
    #[serde(default = "max_queue_rows")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_queue_rows: i32,

    /// Time after which a request is answered with 504, in milliseconds.
    #[serde(default = "request_timeout_milliseconds")]
    #[schemars(range(min = 1, max = 600_000))]
    pub request_timeout_milliseconds: i32,

    /// Latency that answers should have in a long overload, in milliseconds: once a pod has been busy
    /// without a pause for `requestTimeoutMilliseconds`, requests whose answer would take longer are
    /// refused with 429, so that the others are in time while more pods come; 0 lets all wait for as long as
    /// they have time. Default: a tenth of `requestTimeoutMilliseconds` where `targets.loadPercent` is set
    /// and there is an autoscaler, 0 else. Of the serving signals only `loadPercent` and
    /// `requestsPerSecond` count what is refused: with an objective and none of them, a pod can be
    /// overloaded without more to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 600_000))]
    pub latency_objective_milliseconds: Option<i32>,

    /// Inference threads per pod. Default: chosen by the server from its CPU limit; where there is none, as many as
    /// with the limit that `resources` would have by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub workers: Option<i32>,

    /// CPU, memory and devices of each pod.
    #[serde(default)]
    pub resources: Resources,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            image: None,
            image_pull_policy: ImagePullPolicy::default(),
            execution_provider: ExecutionProvider::default(),
            batching: Batching::default(),
            startup_timeout_seconds: startup_timeout_seconds(),
            max_queue_rows: max_queue_rows(),
            request_timeout_milliseconds: request_timeout_milliseconds(),
            latency_objective_milliseconds: None,
            workers: None,
            resources: Resources::default(),
        }
    }
}

/// When an image is pulled.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImagePullPolicy {
    /// Before each start of a container.
    Always,
    /// Where the node doesn't have it.
    #[default]
    IfNotPresent,
    /// Not at all: the node must have it.
    Never,
}

/// What ONNX Runtime computes on.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecutionProvider {
    /// A GPU where there is one, the CPU otherwise.
    Auto,
    /// The CPU.
    #[default]
    #[serde(rename = "CPU")]
    Cpu,
    /// A GPU; a pod without one fails to start and says so.
    #[serde(rename = "CUDA")]
    Cuda,
    /// A GPU through TensorRT, which the image must carry; a pod without either fails to start and
    /// says so.
    #[serde(rename = "TensorRT")]
    TensorRt,
}

/// How requests are put together.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Batching {
    /// Whether requests of several clients may share a batch.
    #[serde(default)]
    pub mode: BatchingMode,

    /// When a batch runs.
    #[serde(default)]
    pub policy: BatchingPolicy,

    /// Most rows in one batch.
    #[serde(default = "max_batch_rows")]
    #[schemars(range(min = 1, max = 4096))]
    pub max_batch_rows: i32,

    /// Longest time that a request is held back for its batch to fill, in milliseconds. Under the
    /// policy `WorkConserving` that is done only where it has been measured to pay.
    #[serde(default = "max_wait_milliseconds")]
    #[schemars(range(min = 0, max = 60_000))]
    pub max_wait_milliseconds: i32,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            mode: BatchingMode::default(),
            policy: BatchingPolicy::default(),
            max_batch_rows: max_batch_rows(),
            max_wait_milliseconds: max_wait_milliseconds(),
        }
    }
}

/// Whether requests of several clients may share a batch.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchingMode {
    /// Where rows are proven independent, or trial runs have shown no dependence, and until a row's
    /// outputs in a batch were not those of the row alone. `status.model.batching` says which it is.
    #[default]
    Auto,
    /// They may: the model's owner says that no row's outputs depend on other rows. A model of which
    /// that isn't so gives wrong answers.
    Always,
    /// They may not: each request runs alone, as it came.
    Never,
}

impl From<BatchingMode> for springtide_contract::batching::BatchingMode {
    fn from(mode: BatchingMode) -> Self {
        match mode {
            BatchingMode::Auto => Self::Auto,
            BatchingMode::Always => Self::Always,
            BatchingMode::Never => Self::Never,
        }
    }
}

/// When a batch runs.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchingPolicy {
    /// As soon as a worker is idle: batches grow while workers are busy. Requests are held back for
    /// each other only where that has been measured to pay, and one that is alone never is.
    #[default]
    WorkConserving,
    /// When it is full or its oldest request has waited for `maxWaitMilliseconds`.
    Window,
}

const fn max_batch_rows() -> i32 {
    defaults::MAX_BATCH_ROWS as i32
}

const fn max_wait_milliseconds() -> i32 {
    defaults::MAX_WAIT_MILLISECONDS as i32
}

const fn startup_timeout_seconds() -> i32 {
    300
}

const fn max_queue_rows() -> i32 {
    defaults::MAX_QUEUE_ROWS as i32
}

const fn request_timeout_milliseconds() -> i32 {
    defaults::REQUEST_TIMEOUT_MILLISECONDS as i32
}
