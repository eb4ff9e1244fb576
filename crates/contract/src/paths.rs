//! URL paths of the server and paths inside its container.

/// Prediction endpoint.
pub const PREDICT: &str = "/predict";
/// Prediction endpoint of a model by its name.
pub const PREDICT_NAMED: &str = "/predict/{name}";
/// Liveness: the process answers.
pub const HEALTH: &str = "/health";
/// Readiness: the model is loaded and warm, and the server is not shutting down. Independent of load.
pub const READY: &str = "/ready";
/// Prometheus metrics.
pub const METRICS: &str = "/metrics";
/// The page for trying models in a browser, if the server has it.
pub const PAGE: &str = "/";
/// The script of the page.
pub const PAGE_SCRIPT: &str = "/page.js";
/// The part of the script that shows answers.
pub const PAGE_ANSWER_SCRIPT: &str = "/page/answer.js";
/// The style of the page.
pub const PAGE_STYLE: &str = "/page.css";
/// The models, as the page needs them.
pub const PAGE_MODELS: &str = "/page/models";
/// Description of the HTTP endpoints in the format of OpenAPI.
pub const OPENAPI: &str = "/openapi.json";
/// Status of the server: a [`ServerStatus`](crate::batching::ServerStatus) as JSON.
pub const STATUS: &str = "/springtide/v1/status";

/// Folder of the fetched model in the serving pod.
pub const MODEL_DIR: &str = "/models";
/// Path of the model file in the serving pod.
pub const MODEL_FILE: &str = "/models/model.onnx";
/// Mount path of the ConfigMap or claim in the init container that fetches the model.
pub const SOURCE_DIR: &str = "/source";
/// Path of a container's termination message: the default of `terminationMessagePath`.
pub const TERMINATION_LOG: &str = "/dev/termination-log";
