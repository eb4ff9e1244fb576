//! Environment variables of the server. Each is also a flag of `springtide-server serve`.
//!
//! They have a prefix, since plain names have other meanings: conda and tcsh export `HOST`, and Kubernetes sets a
//! `<SERVICE>_PORT` in every pod for each Service. [`PERMANENT`] and [`FORMER`] list those that are also read
//! without the prefix.

/// Prefix of all names.
pub const PREFIX: &str = "SPRINGTIDE_";

/// [`MAX_BATCH_SIZE`] without the prefix, which stays supported.
pub const CONTRACT_MAX_BATCH_SIZE: &str = "MAX_BATCH_SIZE";
/// [`MAX_WAIT_MS`] without the prefix, which stays supported.
pub const CONTRACT_MAX_WAIT_MS: &str = "MAX_WAIT_MS";

/// Variables that are also read without the prefix, permanently: [`CONTRACT_MAX_BATCH_SIZE`]
/// and [`CONTRACT_MAX_WAIT_MS`]. The prefixed name takes precedence.
pub const PERMANENT: [&str; 2] = [MAX_BATCH_SIZE, MAX_WAIT_MS];

/// Variables that had no prefix before. They are read without it for one more release, where the value is valid. The
/// prefixed name takes precedence.
pub const FORMER: [&str; 21] = [
    HOST,
    PORT,
    GRPC_PORT,
    MODEL_PATH,
    MODEL_DIR,
    VERSIONS_PER_MODEL,
    MODEL_POLL_SECONDS,
    MODEL_NAME,
    BATCHING_POLICY,
    MAX_QUEUE_ROWS,
    REQUEST_TIMEOUT_MS,
    LATENCY_OBJECTIVE_MS,
    EXECUTION_PROVIDER,
    WORKERS,
    DRAIN_DELAY_SECONDS,
    DRAIN_TIMEOUT_SECONDS,
    MAX_CONNECTIONS,
    MAX_CONNECTION_AGE_SECONDS,
    MAX_REQUEST_BYTES,
    MAX_BODY_BYTES_IN_FLIGHT,
    TERMINATION_MESSAGE_PATH,
];

/// The name of a variable without the prefix. None where it has none.
#[must_use]
pub fn unprefixed(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

/// Address to listen on, without the port: `0.0.0.0`, `127.0.0.1` or `::`. Default: all addresses, over IPv6 and IPv4.
pub const HOST: &str = "SPRINGTIDE_HOST";
/// TCP port to listen on.
pub const PORT: &str = "SPRINGTIDE_PORT";
/// TCP port to listen on for gRPC.
pub const GRPC_PORT: &str = "SPRINGTIDE_GRPC_PORT";
/// TCP port to listen on for probes and metrics only.
pub const HEALTH_PORT: &str = "SPRINGTIDE_HEALTH_PORT";
/// Path of the ONNX model file.
pub const MODEL_PATH: &str = "SPRINGTIDE_MODEL_PATH";
/// Model directory instead of one file: `<name>/<version>/model.onnx`. Versions are positive integers.
pub const MODEL_DIR: &str = "SPRINGTIDE_MODEL_DIR";
/// Number of versions of each model in [`MODEL_DIR`] that are served, newest first.
pub const VERSIONS_PER_MODEL: &str = "SPRINGTIDE_VERSIONS_PER_MODEL";
/// Poll interval of [`MODEL_DIR`], in seconds; 0 scans it only once.
pub const MODEL_POLL_SECONDS: &str = "SPRINGTIDE_MODEL_POLL_SECONDS";
/// Name of the model in URLs, logs, metrics and metadata. With [`MODEL_DIR`]: the model of
/// [`PREDICT`](crate::paths::PREDICT).
pub const MODEL_NAME: &str = "SPRINGTIDE_MODEL_NAME";
/// Maximum number of rows in a batch.
pub const MAX_BATCH_SIZE: &str = "SPRINGTIDE_MAX_BATCH_SIZE";
/// Maximum time that a batch waits, in milliseconds: to fill, or for clients that are about to send again.
pub const MAX_WAIT_MS: &str = "SPRINGTIDE_MAX_WAIT_MS";
/// A [`BatchingPolicy`](crate::batching::BatchingPolicy): `work-conserving` or `window`.
pub const BATCHING_POLICY: &str = "SPRINGTIDE_BATCHING_POLICY";
/// A [`BatchingMode`](crate::batching::BatchingMode): `auto`, `always` or `never`.
pub const BATCHING_MODE: &str = "SPRINGTIDE_BATCHING_MODE";
/// A [`Task`](crate::task::Task): `tabular`, `text-embedding`, … Default: found from the files beside the model.
pub const TASK: &str = "SPRINGTIDE_TASK";
/// Maximum number of rows in the queue.
pub const MAX_QUEUE_ROWS: &str = "SPRINGTIDE_MAX_QUEUE_ROWS";
/// Request timeout, in milliseconds.
pub const REQUEST_TIMEOUT_MS: &str = "SPRINGTIDE_REQUEST_TIMEOUT_MS";
/// Latency objective in a long overload, in milliseconds; 0 turns it off.
pub const LATENCY_OBJECTIVE_MS: &str = "SPRINGTIDE_LATENCY_OBJECTIVE_MS";
/// An [`ExecutionProvider`](crate::execution_provider::ExecutionProvider): `cpu`, `cuda`, `tensorrt` or `auto`.
pub const EXECUTION_PROVIDER: &str = "SPRINGTIDE_EXECUTION_PROVIDER";
/// Number of inference threads, each with its own session. Default: chosen from the CPU quota.
pub const WORKERS: &str = "SPRINGTIDE_WORKERS";
/// Path of `libonnxruntime.so`.
pub const ORT_DYLIB_PATH: &str = "ORT_DYLIB_PATH";
/// Minimum time after SIGTERM in which connections are accepted, in seconds.
pub const DRAIN_DELAY_SECONDS: &str = "SPRINGTIDE_DRAIN_DELAY_SECONDS";
/// Maximum time that a shutdown waits for accepted requests, in seconds.
pub const DRAIN_TIMEOUT_SECONDS: &str = "SPRINGTIDE_DRAIN_TIMEOUT_SECONDS";
/// Maximum number of concurrent connections. Default: chosen from the memory limit.
pub const MAX_CONNECTIONS: &str = "SPRINGTIDE_MAX_CONNECTIONS";
/// Maximum number of concurrent connections of a client address; 0 sets no limit. Default: half of all.
pub const MAX_CONNECTIONS_PER_PEER: &str = "SPRINGTIDE_MAX_CONNECTIONS_PER_PEER";
/// Maximum age of a connection, in seconds; 0 sets no limit.
pub const MAX_CONNECTION_AGE_SECONDS: &str = "SPRINGTIDE_MAX_CONNECTION_AGE_SECONDS";
/// Idle timeout of a connection between two requests, in seconds.
pub const IDLE_TIMEOUT_SECONDS: &str = "SPRINGTIDE_IDLE_TIMEOUT_SECONDS";
/// Origins whose pages may read responses (CORS), separated by commas, or `*` for all.
pub const CORS_ORIGIN: &str = "SPRINGTIDE_CORS_ORIGIN";
/// Whether the page for trying models is served: `true` or `false`.
pub const PAGE: &str = "SPRINGTIDE_PAGE";
/// Maximum size of a request, in bytes, unless its model allows less. Default: chosen from the memory limit.
pub const MAX_REQUEST_BYTES: &str = "SPRINGTIDE_MAX_REQUEST_BYTES";
/// Memory limit of all requests, in bytes. Default: chosen from the memory limit.
pub const MAX_BODY_BYTES_IN_FLIGHT: &str = "SPRINGTIDE_MAX_BODY_BYTES_IN_FLIGHT";
/// Name of the ModelService that the pod belongs to; becomes the label
/// [`MODEL_SERVICE`](crate::metrics::label::MODEL_SERVICE) of every metric.
pub const MODEL_SERVICE_NAME: &str = "SPRINGTIDE_MODEL_SERVICE";
/// Namespace of that ModelService; becomes the label
/// [`MODEL_SERVICE_NAMESPACE`](crate::metrics::label::MODEL_SERVICE_NAMESPACE) of every metric.
pub const MODEL_SERVICE_NAMESPACE: &str = "SPRINGTIDE_NAMESPACE";
/// URI of the model to fetch, with its query.
pub const MODEL_URI: &str = "SPRINGTIDE_MODEL_URI";
/// File that contains the URI, instead of [`MODEL_URI`].
pub const MODEL_URI_FILE: &str = "SPRINGTIDE_MODEL_URI_FILE";
/// Timeout of the isolated load of a hazardous model, in seconds.
pub const PROBE_TIMEOUT_SECONDS: &str = "SPRINGTIDE_PROBE_TIMEOUT_SECONDS";
/// Memory limit of an isolated load, in bytes. Default: 75 % of the free memory.
pub const PROBE_MEMORY_BYTES: &str = "SPRINGTIDE_PROBE_MEMORY_BYTES";
/// Folder for the record of failed isolated loads, which is kept over restarts.
pub const STATE_DIR: &str = "SPRINGTIDE_STATE_DIR";
/// File that receives the reason of a fatal error as [`TerminationMessage`](crate::termination::TerminationMessage).
pub const TERMINATION_MESSAGE_PATH: &str = "SPRINGTIDE_TERMINATION_MESSAGE_PATH";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_read_without_the_prefix_has_it_and_is_said_once() {
        let mut names: Vec<_> = PERMANENT.into_iter().chain(FORMER).collect();
        assert!(names.iter().all(|name| unprefixed(name).is_some()));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn names_of_others_are_not_cut() {
        assert_eq!(unprefixed(ORT_DYLIB_PATH), None);
        let plain = PERMANENT.map(unprefixed);
        let contract = [CONTRACT_MAX_BATCH_SIZE, CONTRACT_MAX_WAIT_MS];
        assert_eq!(plain, contract.map(Some));
    }
}
