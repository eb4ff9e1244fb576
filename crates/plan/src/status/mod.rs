//! The status of a ModelService: its conditions, the decisions about the number of pods, what is known of the model; and the
//! events that tell what is new.

pub(crate) mod batching;
mod compute;
pub(crate) mod conditions;
mod decisions;
pub(crate) mod events;
pub(crate) mod yielding;

pub use self::compute::{
    invalid_spec_status, last_valid_status, observation_failed_status, status,
};
