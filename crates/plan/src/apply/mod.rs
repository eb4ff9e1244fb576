//! Server-side apply: the field managers, and whether an apply would change anything.

mod diff;
pub mod field_manager;

pub use self::diff::is_applied;
pub(crate) use self::diff::{applied_template, is_template_applied};
