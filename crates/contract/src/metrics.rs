//! Metric names and labels of the server, as PromQL queries name them.
//!
//! Every series carries [`label::MODEL_SERVICE`] and [`label::MODEL_SERVICE_NAMESPACE`] where the
//! server runs for a ModelService. The server puts them there itself, so a query selects exactly
//! the pods of one ModelService whatever relabelling the scraping Prometheus does.
//!
//! Series of requests, queues and batches also carry [`label::MODEL`]: a server may serve several models, and a query
//! of a ModelService sums over them. The label is empty for requests that name no model that is served.

/// Counter: completed requests, by [`label::STATUS`].
pub const REQUESTS_TOTAL: &str = "ml_requests_total";
/// Counter: received requests. Scaling follows arrivals, since completions stop growing when pods are saturated.
pub const REQUESTS_RECEIVED_TOTAL: &str = "ml_requests_received_total";
/// Histogram: time from the arrival of a request to its response, in seconds. 0.5 is a bucket boundary.
pub const REQUEST_LATENCY_SECONDS: &str = "ml_request_latency_seconds";
/// Histogram: rows per batch that ran.
pub const BATCH_SIZE: &str = "ml_batch_size";
/// Gauge: rows in the queue.
pub const QUEUE_SIZE: &str = "ml_queue_size";
/// Gauge: accepted requests without a response yet.
pub const ACTIVE_REQUESTS: &str = "ml_active_requests";
/// Histogram: time of requests in the queue, in seconds.
pub const QUEUE_SECONDS: &str = "ml_queue_seconds";
/// Histogram: run time of batches, in seconds.
pub const COMPUTE_SECONDS: &str = "ml_compute_seconds";
/// Counter: requests that never ran, by [`label::REASON`]: those that were rejected (`queue_full`,
/// `overloaded`, `no_room_for_body`, `loading`, `draining`) and those that left the queue (`timeout`,
/// `cancelled`).
pub const REQUESTS_DROPPED_TOTAL: &str = "ml_requests_dropped_total";
/// Counter: offered load, in pod-seconds. Each request adds the time in which this pod, with all workers and full
/// batches, processes it. It grows by more than one second per second in overload, and includes rejected requests.
pub const OFFERED_LOAD_SECONDS_TOTAL: &str = "ml_offered_load_seconds_total";
/// Gauge: rows per second that this pod can process in full batches, for requests like the latest ones. 0 while
/// unknown.
pub const CAPACITY_ROWS_PER_SECOND: &str = "ml_capacity_rows_per_second";
/// Gauge, always 1: a version of a model, by [`label::MODEL`], [`label::VERSION`] and
/// [`label::STATE`].
pub const MODEL_INFO: &str = "ml_model_info";
/// Gauge: time to load and warm up a version that is served, in seconds.
pub const MODEL_LOAD_SECONDS: &str = "ml_model_load_seconds";
/// Gauge, always 1: execution provider of a version that is served, by [`label::MODEL`], [`label::VERSION`],
/// [`label::PROVIDER`] and [`label::FALLBACK`].
pub const EXECUTION_PROVIDER_INFO: &str = "ml_execution_provider_info";
/// Gauge, always 1: whether the requests of a version that is served share batches, by [`label::MODEL`],
/// [`label::VERSION`], [`label::ENABLED`] and [`label::REASON`].
pub const BATCHING_INFO: &str = "ml_batching_info";
/// Counter: requests of shared batches that ran again alone, by [`label::MODEL`] and
/// [`label::RESULT`] (`same`, `different`).
pub const SENTINEL_CHECKS_TOTAL: &str = "ml_sentinel_checks_total";
/// Gauge: start time of the server, in seconds since 1970, with the name of Prometheus' client libraries. It
/// distinguishes a pod without metrics from one that is starting.
pub const PROCESS_START_TIME_SECONDS: &str = "process_start_time_seconds";

/// Label names.
pub mod label {
    /// Name of the ModelService.
    pub const MODEL_SERVICE: &str = "modelservice";
    /// Namespace of the ModelService.
    pub const MODEL_SERVICE_NAMESPACE: &str = "modelservice_namespace";
    /// Outcome of a request: `success`, `invalid`, `rejected`, `timeout`, `cancelled` or `error`.
    pub const STATUS: &str = "status";
    /// Why a request never ran, or why requests share batches or not.
    pub const REASON: &str = "reason";
    /// Name of a model.
    pub const MODEL: &str = "model";
    /// Version of a model.
    pub const VERSION: &str = "version";
    /// State of a version: `ready`, `loading` or `unavailable`.
    pub const STATE: &str = "state";
    /// Execution provider: `cpu`, `cuda` or `tensorrt`.
    pub const PROVIDER: &str = "provider";
    /// Whether requests share batches: `true` or `false`.
    pub const ENABLED: &str = "enabled";
    /// Result of a comparison: `same` or `different`.
    pub const RESULT: &str = "result";
    /// `true` where the provider is the fallback for one that can't be used.
    pub const FALLBACK: &str = "fallback";
}

/// Metrics of pods in the custom metrics API (`custom.metrics.k8s.io`). An adapter computes them from the server's
/// series, for a `HorizontalPodAutoscaler`. It must use these names.
pub mod pods {
    /// Arrivals per second.
    pub const REQUESTS_PER_SECOND: &str = "springtide_requests_per_second";
    /// Rows in the queue.
    pub const QUEUE_SIZE: &str = "springtide_queue_size";
    /// The 95th percentile of the latency, in milliseconds.
    pub const P95_LATENCY_MILLISECONDS: &str = "springtide_p95_latency_milliseconds";
    /// Accepted requests without a response yet.
    pub const CONCURRENCY: &str = "springtide_concurrency";
    /// Offered load, in percent of the pod's capacity.
    pub const LOAD_PERCENT: &str = "springtide_load_percent";
}

/// Pod annotations for annotation-based discovery, by the convention of the community Helm chart
/// `prometheus-community/prometheus`.
pub mod annotation {
    /// `"true"` to scrape the pod.
    pub const SCRAPE: &str = "prometheus.io/scrape";
    /// Port to scrape.
    pub const PORT: &str = "prometheus.io/port";
    /// Path to scrape.
    pub const PATH: &str = "prometheus.io/path";
}
