//! Upgrades in stages: what another operator, or another default server image, would change in the pods of all
//! ModelServices at once reaches a few of them at a time.
//!
//! See `docs/adr/0026-upgrades-are-staged.md`.

mod made;
mod queue;
mod stage;
mod wait;

pub use made::TEMPLATE;
pub use queue::{UpgradePolicy, Upgrades, Verdict};
pub use stage::{Fitness, Stage, served_image, stage};
pub use wait::Wait;
