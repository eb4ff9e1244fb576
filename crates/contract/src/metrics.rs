//! Metric names and labels of the server, as PromQL queries name them.
//!
//! Every series carries [`label::MODEL_SERVICE`] and [`label::MODEL_SERVICE_NAMESPACE`] where the
//! server runs for a ModelService. The server puts them there itself, so a query selects exactly
//! the pods of one ModelService whatever relabelling the scraping Prometheus does.
//!
//! Series about requests, queues and batches carry [`label::MODEL`] too: a server may serve several
//! models, and a query about a ModelService sums over them. The label is empty where a request named
//! no model that serves.

/// Counter: answered requests, by [`label::STATUS`].
pub const REQUESTS_TOTAL: &str = "ml_requests_total";
/// Counter: arrived requests. Scaling follows arrivals, since completions stop growing just when
/// the pods are saturated.
pub const REQUESTS_RECEIVED_TOTAL: &str = "ml_requests_received_total";
/// Histogram: time from a request's arrival to its answer, in seconds. 0.5 is a bucket boundary.
pub const REQUEST_LATENCY_SECONDS: &str = "ml_request_latency_seconds";
/// Histogram: rows per batch that ran.
pub const BATCH_SIZE: &str = "ml_batch_size";
/// Gauge: rows that wait in the queue now.
pub const QUEUE_SIZE: &str = "ml_queue_size";
/// Gauge: requests that were accepted and not yet answered.
pub const ACTIVE_REQUESTS: &str = "ml_active_requests";
/// Histogram: time that a request waited before its batch ran, in seconds.
pub const QUEUE_SECONDS: &str = "ml_queue_seconds";
/// Histogram: time that a batch took to run, in seconds.
pub const COMPUTE_SECONDS: &str = "ml_compute_seconds";
/// Counter: requests that never ran, by [`label::REASON`]: those that were rejected (`queue_full`,
/// `overloaded`, `no_room_for_body`, `loading`, `draining`) and those that left the queue (`timeout`,
/// `cancelled`).
pub const REQUESTS_DROPPED_TOTAL: &str = "ml_requests_dropped_total";
/// Counter: work that arrived, in pod-seconds: each request adds the time in which this pod, with all
/// of its workers and in full batches, would have done it. Grows by more than one second per second
/// where more arrives than the pod can do, and by what was refused for that, too.
pub const OFFERED_LOAD_SECONDS_TOTAL: &str = "ml_offered_load_seconds_total";
/// Gauge: rows that this pod can do per second, in full batches of requests such as those that
/// arrived of late. 0 until that is known.
pub const CAPACITY_ROWS_PER_SECOND: &str = "ml_capacity_rows_per_second";
/// Gauge, always 1: a version of a model, by [`label::MODEL`], [`label::VERSION`] and
/// [`label::STATE`].
pub const MODEL_INFO: &str = "ml_model_info";
/// Gauge: time that it took to load a version that serves and to warm it up, in seconds.
pub const MODEL_LOAD_SECONDS: &str = "ml_model_load_seconds";
/// Gauge, always 1: what a version that serves runs on, by [`label::MODEL`], [`label::VERSION`],
/// [`label::PROVIDER`] and [`label::FALLBACK`].
pub const EXECUTION_PROVIDER_INFO: &str = "ml_execution_provider_info";
/// Gauge, always 1: whether the requests of a version that serves share batches, by [`label::MODEL`],
/// [`label::VERSION`], [`label::ENABLED`] and [`label::REASON`].
pub const BATCHING_INFO: &str = "ml_batching_info";
/// Counter: rows of shared batches that were run again alone, by [`label::MODEL`] and
/// [`label::RESULT`] (`same`, `different`).
pub const SENTINEL_CHECKS_TOTAL: &str = "ml_sentinel_checks_total";
/// Gauge: when the server started, in seconds since 1970, as Prometheus' client libraries name it. Tells
/// a pod that can't be read any more from one that is only starting.
pub const PROCESS_START_TIME_SECONDS: &str = "process_start_time_seconds";

/// Label names.
pub mod label {
    /// Name of the ModelService.
    pub const MODEL_SERVICE: &str = "modelservice";
    /// Namespace of the ModelService.
    pub const MODEL_SERVICE_NAMESPACE: &str = "modelservice_namespace";
    /// Outcome of a request: `success`, `invalid`, `rejected`, `timeout`, `cancelled` or `error`.
    pub const STATUS: &str = "status";
    /// Why a request never ran, or why requests share batches or don't.
    pub const REASON: &str = "reason";
    /// Name of a model.
    pub const MODEL: &str = "model";
    /// Version of a model.
    pub const VERSION: &str = "version";
    /// Whether a version serves: `ready`, `loading` or `unavailable`.
    pub const STATE: &str = "state";
    /// Execution provider: `cpu`, `cuda` or `tensorrt`.
    pub const PROVIDER: &str = "provider";
    /// Whether requests share batches: `true` or `false`.
    pub const ENABLED: &str = "enabled";
    /// What a comparison has shown: `same` or `different`.
    pub const RESULT: &str = "result";
    /// `true` where the provider took the place of a better one that can't be used.
    pub const FALLBACK: &str = "fallback";
}

/// Metrics of pods as the custom metrics API names them (`custom.metrics.k8s.io`), which an adapter
/// makes from the server's series, for a `HorizontalPodAutoscaler` to follow. An adapter has to use
/// these names: the operator looks for them.
pub mod pods {
    /// Arrivals per second.
    pub const REQUESTS_PER_SECOND: &str = "springtide_requests_per_second";
    /// Rows that wait.
    pub const QUEUE_SIZE: &str = "springtide_queue_size";
    /// The 95th percentile of the latency, in milliseconds.
    pub const P95_LATENCY_MILLISECONDS: &str = "springtide_p95_latency_milliseconds";
    /// Requests that were accepted and not yet answered.
    pub const CONCURRENCY: &str = "springtide_concurrency";
    /// Work that arrives, in percent of what the pod can do.
    pub const LOAD_PERCENT: &str = "springtide_load_percent";
}

/// Pod annotations that a Prometheus with annotation-based discovery follows (the convention of
/// the community Helm chart `prometheus-community/prometheus`).
pub mod annotation {
    /// `"true"` where the pod is to be scraped.
    pub const SCRAPE: &str = "prometheus.io/scrape";
    /// Port to scrape.
    pub const PORT: &str = "prometheus.io/port";
    /// Path to scrape.
    pub const PATH: &str = "prometheus.io/path";
}
