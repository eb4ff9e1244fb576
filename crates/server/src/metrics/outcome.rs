//! How requests end, as labels.

/// Outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// An answer was given.
    Success,
    /// The client's fault.
    Invalid,
    /// Not accepted: overload, loading or draining.
    Rejected(Rejected),
    /// Accepted, but not in time.
    Timeout,
    /// The client went away first.
    Cancelled,
    /// The server's fault.
    Error,
}

/// Why a request was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// No room in the queue.
    QueueFull,
    /// It would have waited beyond its deadline.
    Overloaded,
    /// The bodies of other requests take the memory for bodies.
    NoRoomForBody,
    /// No model serves yet.
    Loading,
    /// The server is about to end.
    Draining,
}

/// Why a request never ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It was not accepted.
    Rejected(Rejected),
    /// Its time was up.
    Timeout,
    /// Its client went away.
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
