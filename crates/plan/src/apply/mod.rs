//! Server-side apply: the field managers, whether an apply would change anything, and the state after it.

mod applied;
mod diff;
pub mod field_manager;

pub(crate) use self::diff::{applied_template, is_template_applied};
pub use self::{
    applied::{Applied, Failure},
    diff::is_applied,
};
