//! Defaults of both programs.

/// TCP port of the server.
pub const PORT: u16 = 8000;

/// TCP port of the server for gRPC.
pub const GRPC_PORT: u16 = 8001;

/// TCP port of the server for probes and metrics only.
pub const HEALTH_PORT: u16 = 8002;

/// Timeout of the isolated load of a hazardous model, in seconds.
pub const PROBE_TIMEOUT_SECONDS: u32 = 120;

/// Maximum number of rows in a batch.
pub const MAX_BATCH_ROWS: u32 = 32;

/// Maximum time that a request waits for its batch to fill, in milliseconds.
pub const MAX_WAIT_MILLISECONDS: u32 = 50;

/// Request timeout, in milliseconds. Requests that exceed it are answered with 504.
pub const REQUEST_TIMEOUT_MILLISECONDS: u32 = 5_000;

/// Maximum number of rows in the queue. Further ones are rejected with 429.
pub const MAX_QUEUE_ROWS: u32 = 1_024;

/// Poll interval of a model directory, in seconds.
pub const MODEL_POLL_SECONDS: u32 = 5;

/// Maximum number of concurrent connections of a server.
pub const MAX_CONNECTIONS: u32 = 4_096;

/// Maximum age of a connection, in seconds. A Service balances connections and not requests, so a new pod gets load
/// only when old connections end. With this age, it has its full share within half a minute. Reconnects cost a client
/// a few thousandths of its requests.
pub const MAX_CONNECTION_AGE_SECONDS: u32 = 20;

/// Idle timeout of a connection between two requests, in seconds. It is longer than that of load balancers (60 s in
/// NGINX, Envoy and AWS). They therefore close first, and never send into a connection that is being closed.
pub const IDLE_TIMEOUT_SECONDS: u32 = 75;

/// Maximum size of a request, in bytes, unless its model allows less.
pub const MAX_REQUEST_BYTES: u64 = 64 << 20;

/// Memory limit of all requests, in bytes: half of the default memory request of a pod.
pub const MAX_BODY_BYTES_IN_FLIGHT: u64 = 256 << 20;

/// Minimum time after SIGTERM in which the server accepts connections, in seconds. A client that sends a request in
/// this time is asked to reconnect before its connection is closed.
pub const DRAIN_DELAY_SECONDS: u32 = 1;

/// Time between the deletion of a pod and SIGTERM, in seconds. Proxies and load balancers stop sending to the pod in
/// this time.
pub const PRE_STOP_SECONDS: u32 = 5;

/// Time beyond the request timeout for the last responses to reach their clients, in seconds.
pub const ANSWER_SECONDS: u32 = 1;

/// Time between the end of a drain and SIGKILL, in seconds.
pub const EXIT_SECONDS: u32 = 5;

/// Maximum time of a drain, in seconds. By then, the last accepted request has a response or has timed out.
#[must_use]
pub const fn drain_seconds(request_timeout_milliseconds: u32) -> u32 {
    DRAIN_DELAY_SECONDS + request_timeout_milliseconds.div_ceil(1000) + ANSWER_SECONDS
}

/// Maximum time from the deletion of a pod to the end of its server, in seconds.
#[must_use]
pub const fn termination_seconds(request_timeout_milliseconds: u32) -> u32 {
    PRE_STOP_SECONDS + drain_seconds(request_timeout_milliseconds) + EXIT_SECONDS
}
