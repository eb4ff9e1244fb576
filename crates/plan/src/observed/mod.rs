//! What the cluster has and says: the objects of a ModelService, its pods, and what others write into statuses.

mod answer;
pub(crate) mod awaited;
pub(crate) mod foreign_status;
pub(crate) mod pods;
mod snapshot;
pub(crate) mod stuck;

pub use self::{
    answer::Answer,
    snapshot::{Capabilities, ExternalMetrics, Observed, Platform, PodsMetrics},
};
