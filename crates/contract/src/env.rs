//! Environment variables of the server. Each is also a flag of `springtide-server serve`.

/// Address to listen on, without the port (`0.0.0.0`, `127.0.0.1`, `::`).
pub const HOST: &str = "HOST";
/// TCP port to listen on.
pub const PORT: &str = "PORT";
/// TCP port to listen on for gRPC.
pub const GRPC_PORT: &str = "GRPC_PORT";
/// Path of the ONNX model file.
pub const MODEL_PATH: &str = "MODEL_PATH";
/// Folder of models instead of one file: `<name>/<version>/model.onnx`, versions positive integers.
pub const MODEL_DIR: &str = "MODEL_DIR";
/// Versions of each model in [`MODEL_DIR`] that are served, the newest ones.
pub const VERSIONS_PER_MODEL: &str = "VERSIONS_PER_MODEL";
/// Seconds between two looks at [`MODEL_DIR`]; 0 looks only once.
pub const MODEL_POLL_SECONDS: &str = "MODEL_POLL_SECONDS";
/// Name of the model in URLs, logs, metrics and metadata; with [`MODEL_DIR`] the model that
/// [`PREDICT`](crate::paths::PREDICT) asks.
pub const MODEL_NAME: &str = "MODEL_NAME";
/// Most rows in one batch.
pub const MAX_BATCH_SIZE: &str = "MAX_BATCH_SIZE";
/// Longest that a batch is held back, in milliseconds: to fill, or for clients that come back.
pub const MAX_WAIT_MS: &str = "MAX_WAIT_MS";
/// `work-conserving` (run what is queued as soon as a worker is idle) or `window` (wait for
/// `MAX_BATCH_SIZE` rows or `MAX_WAIT_MS`).
pub const BATCHING_POLICY: &str = "BATCHING_POLICY";
/// `auto`, `always` or `never` ([`BatchingMode`](crate::batching::BatchingMode)).
pub const BATCHING_MODE: &str = "BATCHING_MODE";
/// Most rows that wait in the queue.
pub const MAX_QUEUE_ROWS: &str = "MAX_QUEUE_ROWS";
/// Time after which a request is answered with 504, in milliseconds.
pub const REQUEST_TIMEOUT_MS: &str = "REQUEST_TIMEOUT_MS";
/// Latency that answers should have in a long overload, in milliseconds; 0: requests wait for as long as
/// they have time.
pub const LATENCY_OBJECTIVE_MS: &str = "LATENCY_OBJECTIVE_MS";
/// `cpu`, `cuda`, `tensorrt` or `auto`.
pub const EXECUTION_PROVIDER: &str = "EXECUTION_PROVIDER";
/// Inference threads that each own a session; unset: chosen from the CPU quota.
pub const WORKERS: &str = "WORKERS";
/// Path of `libonnxruntime.so`.
pub const ORT_DYLIB_PATH: &str = "ORT_DYLIB_PATH";
/// Least time after the signal to end in which connections are still taken, in seconds.
pub const DRAIN_DELAY_SECONDS: &str = "DRAIN_DELAY_SECONDS";
/// Longest time that a shutdown waits for accepted requests, in seconds.
pub const DRAIN_TIMEOUT_SECONDS: &str = "DRAIN_TIMEOUT_SECONDS";
/// Most connections at the same time.
pub const MAX_CONNECTIONS: &str = "MAX_CONNECTIONS";
/// Greatest age of a connection, in seconds; 0: none.
pub const MAX_CONNECTION_AGE_SECONDS: &str = "MAX_CONNECTION_AGE_SECONDS";
/// Most bytes of one request, where its model doesn't say less.
pub const MAX_REQUEST_BYTES: &str = "MAX_REQUEST_BYTES";
/// Memory that the bodies of all requests may take together, in bytes.
pub const MAX_BODY_BYTES_IN_FLIGHT: &str = "MAX_BODY_BYTES_IN_FLIGHT";
/// Name of the ModelService that the pod belongs to; becomes the label
/// [`MODEL_SERVICE`](crate::metrics::label::MODEL_SERVICE) of every metric.
pub const MODEL_SERVICE_NAME: &str = "SPRINGTIDE_MODEL_SERVICE";
/// Namespace of that ModelService; becomes the label
/// [`MODEL_SERVICE_NAMESPACE`](crate::metrics::label::MODEL_SERVICE_NAMESPACE) of every metric.
pub const MODEL_SERVICE_NAMESPACE: &str = "SPRINGTIDE_NAMESPACE";
/// Where the reason of a fatal error is written as [`TerminationMessage`](crate::termination::TerminationMessage).
pub const TERMINATION_MESSAGE_PATH: &str = "TERMINATION_MESSAGE_PATH";
