//! What sets the replicas in a cluster: the active autoscaler, its targets, queries and readings.

mod active;
pub(crate) mod memory;
pub(crate) mod queries;
pub(crate) mod readings;

pub use self::active::{ActiveAutoscaler, EffectiveTargets};
