//! Replies of serving pods to a query of their status.

use springtide_contract::batching::ServerStatus;

/// The reply of a serving pod to a query of its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusReply {
    /// The status.
    Status(ServerStatus),
    /// Something else: the server is of another version.
    Unreadable,
    /// Nothing: the pod is gone, unreachable or too busy.
    Unreachable,
}
