//! Environment variables of the server. Each is also a flag of `springtide-server serve`.
//!
//! They have a prefix of their own, since plain words mean something else to others: conda and tcsh
//! export `HOST`, and Kubernetes gives every pod a `<SERVICE>_PORT` for each Service beside it. What
//! is read without the prefix is in [`PERMANENT`] and [`FORMER`].

/// What every name of our own begins with.
pub const PREFIX: &str = "SPRINGTIDE_";

/// [`MAX_BATCH_SIZE`] as the contract names it, which is read for good.
pub const CONTRACT_MAX_BATCH_SIZE: &str = "MAX_BATCH_SIZE";
/// [`MAX_WAIT_MS`] as the contract names it, which is read for good.
pub const CONTRACT_MAX_WAIT_MS: &str = "MAX_WAIT_MS";

/// The prefixed names of those that are read without the prefix for good: [`CONTRACT_MAX_BATCH_SIZE`]
/// and [`CONTRACT_MAX_WAIT_MS`]. The prefixed name wins.
pub const PERMANENT: [&str; 2] = [MAX_BATCH_SIZE, MAX_WAIT_MS];

/// The prefixed names of those that had no prefix before, and are read without it for one more
/// release where their value is valid. The prefixed name wins.
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

/// The name of a variable without the prefix; None where it has none.
#[must_use]
pub fn unprefixed(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

/// Address to listen on, without the port (`0.0.0.0`, `127.0.0.1`, `::`); unset: all addresses, over
/// IPv6 and IPv4.
pub const HOST: &str = "SPRINGTIDE_HOST";
/// TCP port to listen on.
pub const PORT: &str = "SPRINGTIDE_PORT";
/// TCP port to listen on for gRPC.
pub const GRPC_PORT: &str = "SPRINGTIDE_GRPC_PORT";
/// TCP port to listen on for probes and metrics alone.
pub const HEALTH_PORT: &str = "SPRINGTIDE_HEALTH_PORT";
/// Path of the ONNX model file.
pub const MODEL_PATH: &str = "SPRINGTIDE_MODEL_PATH";
/// Folder of models instead of one file: `<name>/<version>/model.onnx`, versions positive integers.
pub const MODEL_DIR: &str = "SPRINGTIDE_MODEL_DIR";
/// Versions of each model in [`MODEL_DIR`] that are served, the newest ones.
pub const VERSIONS_PER_MODEL: &str = "SPRINGTIDE_VERSIONS_PER_MODEL";
/// Seconds between two looks at [`MODEL_DIR`]; 0 looks only once.
pub const MODEL_POLL_SECONDS: &str = "SPRINGTIDE_MODEL_POLL_SECONDS";
/// Name of the model in URLs, logs, metrics and metadata; with [`MODEL_DIR`] the model that
/// [`PREDICT`](crate::paths::PREDICT) asks.
pub const MODEL_NAME: &str = "SPRINGTIDE_MODEL_NAME";
/// Most rows in one batch.
pub const MAX_BATCH_SIZE: &str = "SPRINGTIDE_MAX_BATCH_SIZE";
/// Longest that a batch is held back, in milliseconds: to fill, or for clients that come back.
pub const MAX_WAIT_MS: &str = "SPRINGTIDE_MAX_WAIT_MS";
/// `work-conserving` (run what is queued as soon as a worker is idle) or `window` (wait for
/// [`MAX_BATCH_SIZE`] rows or [`MAX_WAIT_MS`]).
pub const BATCHING_POLICY: &str = "SPRINGTIDE_BATCHING_POLICY";
/// `auto`, `always` or `never` ([`BatchingMode`](crate::batching::BatchingMode)).
pub const BATCHING_MODE: &str = "SPRINGTIDE_BATCHING_MODE";
/// Most rows that wait in the queue.
pub const MAX_QUEUE_ROWS: &str = "SPRINGTIDE_MAX_QUEUE_ROWS";
/// Time after which a request is answered with 504, in milliseconds.
pub const REQUEST_TIMEOUT_MS: &str = "SPRINGTIDE_REQUEST_TIMEOUT_MS";
/// Latency that answers should have in a long overload, in milliseconds; 0: requests wait for as long as
/// they have time.
pub const LATENCY_OBJECTIVE_MS: &str = "SPRINGTIDE_LATENCY_OBJECTIVE_MS";
/// `cpu`, `cuda`, `tensorrt` or `auto`.
pub const EXECUTION_PROVIDER: &str = "SPRINGTIDE_EXECUTION_PROVIDER";
/// Inference threads that each own a session; unset: chosen from the CPU quota.
pub const WORKERS: &str = "SPRINGTIDE_WORKERS";
/// Path of `libonnxruntime.so`.
pub const ORT_DYLIB_PATH: &str = "ORT_DYLIB_PATH";
/// Least time after the signal to end in which connections are still taken, in seconds.
pub const DRAIN_DELAY_SECONDS: &str = "SPRINGTIDE_DRAIN_DELAY_SECONDS";
/// Longest time that a shutdown waits for accepted requests, in seconds.
pub const DRAIN_TIMEOUT_SECONDS: &str = "SPRINGTIDE_DRAIN_TIMEOUT_SECONDS";
/// Most connections at the same time; unset: chosen from the memory limit.
pub const MAX_CONNECTIONS: &str = "SPRINGTIDE_MAX_CONNECTIONS";
/// Most connections of one address at the same time; 0: as many as there are at all; unset: half of them.
pub const MAX_CONNECTIONS_PER_PEER: &str = "SPRINGTIDE_MAX_CONNECTIONS_PER_PEER";
/// Greatest age of a connection, in seconds; 0: none.
pub const MAX_CONNECTION_AGE_SECONDS: &str = "SPRINGTIDE_MAX_CONNECTION_AGE_SECONDS";
/// Longest time that a connection may be idle between two requests, in seconds.
pub const IDLE_TIMEOUT_SECONDS: &str = "SPRINGTIDE_IDLE_TIMEOUT_SECONDS";
/// Origins whose pages may read answers (CORS), separated by commas, or `*` for all.
pub const CORS_ORIGIN: &str = "SPRINGTIDE_CORS_ORIGIN";
/// Most bytes of one request, where its model doesn't say less; unset: chosen from the memory limit.
pub const MAX_REQUEST_BYTES: &str = "SPRINGTIDE_MAX_REQUEST_BYTES";
/// Memory that all requests may take together, in bytes; unset: chosen from the memory limit.
pub const MAX_BODY_BYTES_IN_FLIGHT: &str = "SPRINGTIDE_MAX_BODY_BYTES_IN_FLIGHT";
/// Name of the ModelService that the pod belongs to; becomes the label
/// [`MODEL_SERVICE`](crate::metrics::label::MODEL_SERVICE) of every metric.
pub const MODEL_SERVICE_NAME: &str = "SPRINGTIDE_MODEL_SERVICE";
/// Namespace of that ModelService; becomes the label
/// [`MODEL_SERVICE_NAMESPACE`](crate::metrics::label::MODEL_SERVICE_NAMESPACE) of every metric.
pub const MODEL_SERVICE_NAMESPACE: &str = "SPRINGTIDE_NAMESPACE";
/// Where the model to fetch is: the URI, with its query.
pub const MODEL_URI: &str = "SPRINGTIDE_MODEL_URI";
/// File that holds the URI in place of [`MODEL_URI`].
pub const MODEL_URI_FILE: &str = "SPRINGTIDE_MODEL_URI_FILE";
/// Longest time in which a model that could do harm is loaded and tried in a process of its own, in seconds.
pub const PROBE_TIMEOUT_SECONDS: &str = "SPRINGTIDE_PROBE_TIMEOUT_SECONDS";
/// Most memory of such a trial, in bytes; unset: 75 % of what is free.
pub const PROBE_MEMORY_BYTES: &str = "SPRINGTIDE_PROBE_MEMORY_BYTES";
/// Folder in which the server notes which model files could not be tried without harm, for after a restart.
pub const STATE_DIR: &str = "SPRINGTIDE_STATE_DIR";
/// Where the reason of a fatal error is written as [`TerminationMessage`](crate::termination::TerminationMessage).
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
