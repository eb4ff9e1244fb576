//! The status of a ModelService: its conditions, decisions and facts about the model, and the events about changes of
//! the status.

pub(crate) mod batching;
mod compute;
pub(crate) mod conditions;
mod decisions;
pub(crate) mod events;
pub(crate) mod yielding;

pub use self::compute::{
    invalid_spec_status, last_valid_status, observation_failed_status, status,
};
