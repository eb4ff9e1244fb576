//! Upgrades in stages: what another operator, or another default server image, would change in the pods of all
//! ModelServices at once reaches a few of them at a time.
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
