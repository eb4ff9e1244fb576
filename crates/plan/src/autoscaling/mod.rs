//! What sets the number of pods on a cluster: the active autoscaler, what it follows and what it reads.

mod active;
pub(crate) mod memory;
pub(crate) mod queries;
pub(crate) mod readings;

pub use self::active::{ActiveAutoscaler, EffectiveTargets};
