//! The observed state of the cluster: the objects of a ModelService, its pods, and the statuses of other controllers.

pub(crate) mod config_map_wait;
pub(crate) mod foreign_status;
pub(crate) mod pod_startup;
pub(crate) mod pods;
mod snapshot;
mod status_reply;

pub use self::{
    snapshot::{Capabilities, ExternalMetrics, Observed, Platform, PodsMetrics},
    status_reply::StatusReply,
};
