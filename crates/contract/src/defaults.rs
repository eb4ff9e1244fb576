//! Values that hold where nobody says otherwise, on both sides.

/// TCP port that the server listens on.
pub const PORT: u16 = 8000;

/// TCP port that the server listens on for gRPC.
pub const GRPC_PORT: u16 = 8001;

/// TCP port that the server listens on for probes and metrics alone.
pub const HEALTH_PORT: u16 = 8002;

/// Longest time in which a model that could do harm is loaded and tried in a process of its own, in seconds.
pub const PROBE_TIMEOUT_SECONDS: u32 = 120;

/// Most rows in one batch.
pub const MAX_BATCH_ROWS: u32 = 32;

/// Longest time that a request is held back for its batch to fill, in milliseconds: an upper bound.
pub const MAX_WAIT_MILLISECONDS: u32 = 50;

/// Time after which a request is answered with 504, in milliseconds.
pub const REQUEST_TIMEOUT_MILLISECONDS: u32 = 5_000;

/// Most rows that wait in the queue before further ones are refused with 429.
pub const MAX_QUEUE_ROWS: u32 = 1_024;

/// Seconds between two looks at a folder of models.
pub const MODEL_POLL_SECONDS: u32 = 5;

/// Most connections of a server at the same time.
pub const MAX_CONNECTIONS: u32 = 4_096;

/// Greatest age of a connection, in seconds. A Service spreads connections over pods and not
/// requests, so a new pod gets load only as old connections end: with this, it has its full share
/// well within half a minute, while reconnecting costs a client a few thousandths of its requests.
pub const MAX_CONNECTION_AGE_SECONDS: u32 = 20;

/// Longest time that a connection may be idle between two requests, in seconds. Longer than load
/// balancers keep idle connections (60 s in NGINX, Envoy and AWS), so that they close first and never
/// send into a connection that is being closed.
pub const IDLE_TIMEOUT_SECONDS: u32 = 75;

/// Most bytes of one request, where its model doesn't say less.
pub const MAX_REQUEST_BYTES: u64 = 64 << 20;

/// Memory that the bodies of all requests may take together, in bytes: half of what a pod requests
/// where its ModelService doesn't say.
pub const MAX_BODY_BYTES_IN_FLIGHT: u64 = 256 << 20;

/// How long a server goes on taking connections after it was told to end, in seconds. Clients with
/// a connection that they use at least this often are asked to reconnect before theirs is closed.
pub const DRAIN_DELAY_SECONDS: u32 = 1;

/// How long a pod goes on serving after its deletion began, in seconds, so that every proxy and
/// load balancer has stopped sending to it before it stops listening.
pub const PRE_STOP_SECONDS: u32 = 5;

/// Seconds beyond the request timeout in which the answers to the last requests reach their clients.
pub const ANSWER_SECONDS: u32 = 1;

/// Seconds between the end of a drain and the kill, for the process to end by itself.
pub const EXIT_SECONDS: u32 = 5;

/// Longest time that a drain may take, in seconds: connections are taken for a while, and the last request
/// that was accepted is answered or timed out by then.
#[must_use]
pub const fn drain_seconds(request_timeout_milliseconds: u32) -> u32 {
    DRAIN_DELAY_SECONDS + request_timeout_milliseconds.div_ceil(1000) + ANSWER_SECONDS
}

/// Longest time from the deletion of a pod to the end of its server, in seconds.
#[must_use]
pub const fn termination_seconds(request_timeout_milliseconds: u32) -> u32 {
    PRE_STOP_SECONDS + drain_seconds(request_timeout_milliseconds) + EXIT_SECONDS
}
