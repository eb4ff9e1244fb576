//! URL paths of the server and paths inside its container.

/// Prediction endpoint.
pub const PREDICT: &str = "/predict";
/// Liveness: the process answers.
pub const HEALTH: &str = "/health";
/// Readiness: the model is loaded and warm, and the server is not draining. Independent of load.
pub const READY: &str = "/ready";
/// Prometheus metrics.
pub const METRICS: &str = "/metrics";
/// What the server says of the models that serve: a
/// [`ServerStatus`](crate::batching::ServerStatus) as JSON.
pub const STATUS: &str = "/springtide/v1/status";

/// Folder in the serving pod that holds the fetched model.
pub const MODEL_DIR: &str = "/models";
/// The model file as `springtide-server serve` finds it in the serving pod.
pub const MODEL_FILE: &str = "/models/model.onnx";
/// Where the fetching init container sees the ConfigMap or claim that a model comes from.
pub const SOURCE_DIR: &str = "/source";
/// Where Kubernetes reads a container's termination message (`terminationMessagePath`'s default).
pub const TERMINATION_LOG: &str = "/dev/termination-log";
