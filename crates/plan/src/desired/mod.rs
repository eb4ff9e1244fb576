//! The plan of a reconcile: the objects to delete and to apply, their ownership, and the owner of `spec.replicas`.

pub(crate) mod ownership;
mod plan;
mod replicas;

pub use self::{
    plan::{Deletion, Desired, Recheck, desired},
    replicas::{ReplicasApply, handover, is_deployment_applied},
};
