//! Metric names and labels of the server, as PromQL queries name them.
//!
//! Every series carries [`label::MODEL_SERVICE`] and [`label::MODEL_SERVICE_NAMESPACE`] where the
//! server runs for a ModelService. The server puts them there itself, so a query selects exactly
//! the pods of one ModelService whatever relabelling the scraping Prometheus does.

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
/// Counter: requests that left the queue without running, by [`label::REASON`]
/// (`queue_full`, `timeout`, `cancelled`, `draining`).
pub const REQUESTS_DROPPED_TOTAL: &str = "ml_requests_dropped_total";

/// Label names.
pub mod label {
    /// Name of the ModelService.
    pub const MODEL_SERVICE: &str = "modelservice";
    /// Namespace of the ModelService.
    pub const MODEL_SERVICE_NAMESPACE: &str = "modelservice_namespace";
    /// Outcome of a request: `success`, `invalid`, `rejected`, `timeout`, `cancelled` or `error`.
    pub const STATUS: &str = "status";
    /// Why a request left the queue without running.
    pub const REASON: &str = "reason";
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
