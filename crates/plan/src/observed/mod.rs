//! What the cluster has and says: the objects of a ModelService, its pods, and what others write into statuses.

pub(crate) mod awaited;
pub(crate) mod foreign_status;
pub(crate) mod pods;
mod snapshot;
mod status_reply;
pub(crate) mod stuck;

pub use self::{
    snapshot::{Capabilities, ExternalMetrics, Observed, Platform, PodsMetrics},
    status_reply::StatusReply,
};
