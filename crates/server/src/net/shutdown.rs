//! How connections are to end.

/// How connections are to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShutdownPhase {
    /// Not at all.
    Running,
    /// Everything is answered, and clients are asked to reconnect, which is elsewhere when load
    /// balancers know that this server ends.
    AskReconnect,
    /// No new ones are taken.
    NoNewConnections,
    /// Each one ends after the requests that it is answering, at once if there are none.
    FinishRequests,
}
