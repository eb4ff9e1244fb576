//! Staged upgrades. Another operator version or default server image would change the pods of all ModelServices at
//! once. Instead it reaches a few of them at a time.
//!
//! See `docs/adr/0026-upgrades-are-staged.md`.

mod queue;
mod stage;
mod template_origin;
mod wait_reason;

pub use queue::{UpgradePermission, UpgradePolicy, Upgrades};
pub use stage::{Stage, UpgradeReadiness, served_image, stage};
pub use template_origin::TEMPLATE_ANNOTATION;
pub use wait_reason::WaitReason;
