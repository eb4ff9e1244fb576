//! Replies of serving pods to status queries.

use springtide_contract::batching::ServerStatus;

/// The reply of a serving pod to a status query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusReply {
    /// The status.
    Status(ServerStatus),
    /// An unknown format: the server has another version.
    Unreadable,
    /// No reply: the pod is deleted, unreachable or too busy.
    Unreachable,
}
