//! How far the server is on its way to its end.

/// The phase of a shutdown, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShutdownPhase {
    /// The server isn't shutting down.
    Running,
    /// All requests are answered, and clients are asked to reconnect. Load balancers that know of
    /// the shutdown send them to another server.
    AskReconnect,
    /// No new connections are accepted.
    NoNewConnections,
    /// Each connection ends after its active requests, at once if there are none.
    FinishRequests,
}
