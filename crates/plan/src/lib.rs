//! What a ModelService wants, as a pure function of its spec and of what is observed: no client, no
//! clock, nothing asynchronous.
//!
//! A pass of the operator goes through this crate in five steps:
//!
//! 1. [`ValidatedModelService::try_from`] parses the spec. What fails here is a bad spec that the
//!    API server let through (an older CRD, a time zone that doesn't exist): go on with
//!    [`ValidatedModelService::in_force`] and make its status [`superseded`]; where there is none, write
//!    [`invalid_status`] and wait for a change.
//!    What can't be observed after that is for [`unobserved_status`] and another try.
//! 2. Put the events of [`pod_to_explain`] into [`Observed::events`]. [`desired`] plans. It can't fail: a validated spec always has a plan. Carry it out in the
//!    order of its fields: [`delete`](Desired::delete), [`apply`](Desired::apply) each by
//!    server-side apply as [`field_manager::OPERATOR`], forced, the [`handover`] before a Deployment that is there, and
//!    after it [`replicas`](Desired::replicas). What [`is_applied`] already needs no request.
//! 3. Put what the API server answered to each apply in the place of what was [`Observed`], so that
//!    the status speaks of the new generation and never of the old one, and collect failures in an
//!    [`Outcome`].
//! 4. Put what [`pods_to_ask`] answer into [`Observed::answers`]. Nothing of the plan depends on that. Where there is an
//!    [`awaited_config_map`], look at its metadata, and delete [`pods_to_replace`].
//! 5. [`status`] judges, and [`events`] tells what is new about it.

mod amount;
mod applied;
mod awaited;
mod batching;
mod behavior;
mod child;
mod conditions;
mod decisions;
mod desired;
mod engine;
mod events;
pub mod field_manager;
pub mod keda;
pub mod labels;
mod lookup;
mod memory;
mod observed;
mod ownership;
mod pod;
mod pod_resources;
mod pods;
mod quantity;
mod queries;
mod readings;
mod replicas;
pub mod resources;
mod rollout;
mod scaling;
pub mod schedule;
mod settings;
mod signals;
mod status;
mod stuck;
mod upgrades;
mod validated;
mod yielding;

pub use applied::is_applied;
pub use awaited::{WaitingPod, awaited_config_map, pods_to_replace};
pub use batching::{Answer, pods_to_ask};
pub use behavior::{CompleteBehavior, CompleteRules};
pub use child::{Child, ChildKind};
pub use conditions::{WRITES_UNDONE, look_again_at};
pub use desired::{Beside, Deletion, Desired, desired};
pub use engine::{Following, Resolved};
pub use events::{Event, SCALE, Severity, events};
pub use field_manager::keep_read_managers;
pub use observed::{Capabilities, ExternalMetrics, Observed, Platform, PodsMetrics};
pub use ownership::is_another;
pub use pod::InvalidPod;
pub use pod_resources::InvalidResources;
pub use replicas::{ReplicasApply, handover, is_deployment_applied};
pub use scaling::{PodAutoscaling, Scaling};
pub use settings::{InvalidLabelName, LabelName, OperatorSettings};
pub use signals::ServingSignal;
pub use status::{Failure, Outcome, invalid_status, status, superseded, unobserved_status};
pub use stuck::pod_to_explain;
pub use upgrades::{
    Fitness, Stage, TEMPLATE, UpgradePolicy, Upgrades, Verdict, Wait, served_image, stage,
};
pub use validated::{Invalid, ValidatedModelService};
pub use yielding::{own_status, yielding};
