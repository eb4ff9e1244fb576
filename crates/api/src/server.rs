//! The type of `spec.server`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use springtide_contract::batching::{BatchingMode, BatchingPolicy};
use springtide_contract::execution_provider::ExecutionProvider;
use springtide_contract::{bounds, defaults};

use crate::resources::Resources;

/// Settings of the server in each pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.batching.maxWaitMilliseconds < self.requestTimeoutMilliseconds")
        .message("spec.server.batching.maxWaitMilliseconds must be less than spec.server.requestTimeoutMilliseconds"),
    validation = Rule::new("self.batching.maxBatchRows <= self.maxQueueRows")
        .message("spec.server.batching.maxBatchRows must be at most spec.server.maxQueueRows")
)]
pub struct Server {
    /// Image reference of the server. Default: the server image in the operator's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]+$')")
        .message("spec.server.image must be an image reference without blanks"))]
    pub image: Option<String>,

    /// Pull policy of the server image.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,

    /// Maximum time from the start of the server until the pod is ready, in seconds. In this time the server loads the
    /// model file and warms it up. The model file is fetched before, for as long as data arrives.
    #[serde(default = "startup_timeout_seconds")]
    #[schemars(range(min = 10, max = 86_400))]
    pub startup_timeout_seconds: i32,

    /// Execution provider of ONNX Runtime. `CPU`: the CPU. `CUDA`: a GPU. `TensorRT`: a GPU through TensorRT, which the
    /// image must include. `Auto`: a GPU if there is one, otherwise the CPU. With `CUDA` and `TensorRT`, a pod without
    /// them fails to start and reports it.
    #[serde(default)]
    pub execution_provider: ExecutionProvider,

    /// Batching of requests.
    #[serde(default)]
    pub batching: Batching,

    /// Maximum number of rows in the queue of a pod. Further requests are answered with 429.
    #[serde(default = "max_queue_rows")]
    #[schemars(range(min = *bounds::MAX_QUEUE_ROWS.start(), max = *bounds::MAX_QUEUE_ROWS.end()))]
    pub max_queue_rows: i32,

    /// Request timeout, in milliseconds. Requests that exceed it are answered with 504.
    #[serde(default = "request_timeout_milliseconds")]
    #[schemars(range(min = *bounds::REQUEST_TIMEOUT_MILLISECONDS.start(), max = *bounds::REQUEST_TIMEOUT_MILLISECONDS.end()))]
    pub request_timeout_milliseconds: i32,

    /// Latency objective in a long overload, in milliseconds. It applies once a pod has been busy without a pause for
    /// `requestTimeoutMilliseconds`. Requests that would exceed it are then rejected with 429, so that accepted ones
    /// meet it while replicas are added. 0 turns it off: requests wait until the request timeout. Default: a tenth of
    /// `requestTimeoutMilliseconds` if `targets.loadPercent` is set and there is an autoscaler, otherwise 0. Of the
    /// serving signals, only `loadPercent` and `requestsPerSecond` count rejected requests. With an objective and
    /// neither of these targets, a pod can be overloaded without a scale-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *bounds::LATENCY_OBJECTIVE_MILLISECONDS.start(), max = *bounds::LATENCY_OBJECTIVE_MILLISECONDS.end()))]
    pub latency_objective_milliseconds: Option<i32>,

    /// Inference threads per pod. Default: chosen by the server from its CPU limit. Without a CPU limit: one per whole
    /// core of the CPU request, at least 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *bounds::WORKERS.start(), max = *bounds::WORKERS.end()))]
    pub workers: Option<i32>,

    /// Requests and limits of each pod: CPU, memory and extended resources. Unset values are derived from those that
    /// are set: a request is at most the limit.
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

/// Pull policy of an image.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImagePullPolicy {
    /// Before each start of a container.
    Always,
    /// If the node doesn't have it.
    #[default]
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

/// Batching of requests.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Batching {
    /// Whether requests of several clients may share a batch. `Always`: they may; the owner of the model guarantees
    /// that no output of a row depends on other rows. A model without this property gives wrong answers. `Never`: each
    /// request runs alone. `Auto`: they may if rows are proven independent, or if trial runs have shown no dependence.
    /// This ends when the outputs of a row in a batch differ from those of the row alone. `status.model.batching`
    /// reports the result.
    #[serde(default)]
    pub mode: BatchingMode,

    /// Time at which a batch runs. `WorkConserving`: as soon as a worker is idle. `Window`: when the batch is full or
    /// its oldest request has waited for `maxWaitMilliseconds`.
    #[serde(default)]
    pub policy: BatchingPolicy,

    /// Maximum number of rows in one batch.
    #[serde(default = "max_batch_rows")]
    #[schemars(range(min = *bounds::MAX_BATCH_ROWS.start(), max = *bounds::MAX_BATCH_ROWS.end()))]
    pub max_batch_rows: i32,

    /// Maximum time that a request waits for its batch to fill, in milliseconds. With policy `WorkConserving`, requests
    /// wait only if measurements show a benefit, and a single request never waits.
    #[serde(default = "max_wait_milliseconds")]
    #[schemars(range(min = *bounds::MAX_WAIT_MILLISECONDS.start(), max = *bounds::MAX_WAIT_MILLISECONDS.end()))]
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
