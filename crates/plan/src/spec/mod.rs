//! The parsed spec of a ModelService, and its errors.

pub(crate) mod behavior;
mod bounds;
pub(crate) mod invalid;
pub(crate) mod memory_at_rest;
pub(crate) mod pod;
pub(crate) mod pod_resources;
pub(crate) mod rollout_rules;
pub(crate) mod scaling;
pub mod schedule;
mod validated;

pub(crate) use self::invalid::within;
pub use self::{invalid::Invalid, scaling::Scaling, validated::ValidatedModelService};
