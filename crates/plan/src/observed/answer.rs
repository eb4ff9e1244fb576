//! What pods answer when they are asked.

use springtide_contract::batching::ServerStatus;

/// What a pod answered when it was asked what it says of its models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This.
    Said(ServerStatus),
    /// Something that isn't it: its server is of another version.
    Unreadable,
    /// Nothing: it has gone, is out of reach, or too busy.
    Silent,
}
