//! Outcomes of requests, as label values.

/// Outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It has a successful response.
    Success,
    /// Rejected for an error of the client.
    Invalid,
    /// Not accepted: overload, loading or draining.
    Rejected(Rejected),
    /// Accepted, but its deadline passed.
    Timeout,
    /// The client disconnected first.
    Cancelled,
    /// Failed for an error of the server.
    Error,
}

/// Why a request was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// The queue is full.
    QueueFull,
    /// Its response would come after its deadline.
    Overloaded,
    /// Other requests use all memory for bodies.
    NoRoomForBody,
    /// No model is ready yet.
    Loading,
    /// The server is shutting down.
    Draining,
}

/// Why a request never ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It was not accepted.
    Rejected(Rejected),
    /// Its deadline passed.
    Timeout,
    /// Its client disconnected.
    Cancelled,
}

impl Status {
    /// Values of the label, each at the index of its status.
    pub(super) const LABELS: [&'static str; 6] = [
        "success",
        "invalid",
        "rejected",
        "timeout",
        "cancelled",
        "error",
    ];

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Success => 0,
            Self::Invalid => 1,
            Self::Rejected(_) => 2,
            Self::Timeout => 3,
            Self::Cancelled => 4,
            Self::Error => 5,
        }
    }
}

impl Dropped {
    /// Values of the label, each at the index of its reason.
    pub(super) const LABELS: [&'static str; 7] = [
        "queue_full",
        "overloaded",
        "no_room_for_body",
        "loading",
        "draining",
        "timeout",
        "cancelled",
    ];

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Rejected(Rejected::QueueFull) => 0,
            Self::Rejected(Rejected::Overloaded) => 1,
            Self::Rejected(Rejected::NoRoomForBody) => 2,
            Self::Rejected(Rejected::Loading) => 3,
            Self::Rejected(Rejected::Draining) => 4,
            Self::Timeout => 5,
            Self::Cancelled => 6,
        }
    }
}
