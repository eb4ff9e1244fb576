//! The plan of a pass: what to delete and to apply, whose objects have the names, and who sets the number of pods.

pub(crate) mod ownership;
mod plan;
mod replicas;

pub use self::{
    plan::{Deletion, Desired, Recheck, desired},
    replicas::{ReplicasApply, handover, is_deployment_applied},
};
