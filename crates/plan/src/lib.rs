//! What a ModelService wants, as a pure function of its spec and of what is observed: no client, no
//! clock, nothing asynchronous.
//!
//! A pass of the operator goes through this crate in five steps:
//!
//! 1. [`ValidatedModelService::try_from`] parses the spec. What fails here is a bad spec that the
//!    API server let through (an older CRD, a time zone that doesn't exist): go on with
//!    [`ValidatedModelService::from_last_valid`] and make its status [`last_valid_status`]; where there is none, write
//!    [`invalid_spec_status`] and wait for a change.
//!    What can't be observed after that is for [`observation_failed_status`] and another try.
//! 2. Put the events of [`stuck_pod_uid`] into [`Observed::events`]. [`desired`] plans. It can't fail: a validated spec always has a plan. Carry it out in the
//!    order of its fields: [`delete`](Desired::delete), [`apply`](Desired::apply) each by
//!    server-side apply as [`field_manager::OPERATOR`], forced, the [`handover`] before a Deployment that is there, and
//!    after it [`replicas`](Desired::replicas). What [`is_applied`] already needs no request.
//! 3. Put what the API server answered to each apply in the place of what was [`Observed`], so that
//!    the status speaks of the new generation and never of the old one, and collect failures in an
//!    [`Outcome`].
//! 4. Put what [`pods_to_query`] answer into [`Observed::answers`]. Nothing of the plan depends on that. Where there is an
//!    [`pending_config_map`], look at its metadata, and delete [`pods_to_replace`].
//! 5. [`status`] judges, and [`events`] tells what is new about it.

mod apply;
mod autoscaling;
mod child;
mod desired;
pub mod keda;
pub mod labels;
mod observed;
mod quantity;
pub mod resources;
mod settings;
mod spec;
mod status;
mod upgrades;

pub use apply::{
    Applied, Failure,
    field_manager::{self, prune_managed_fields},
    is_applied,
};
pub use autoscaling::{ActiveAutoscaler, EffectiveTargets};
pub use child::{Child, ChildKind};
pub use desired::{
    Deletion, Desired, Recheck, ReplicasApply, desired, handover, is_deployment_applied,
    ownership::is_foreign_autoscaler,
};
pub use observed::{
    Capabilities, ExternalMetrics, Observed, Platform, PodsMetrics, StatusReply,
    config_map_wait::{PodToReplace, pending_config_map, pods_to_replace},
    pod_startup::stuck_pod_uid,
};
pub use settings::{InvalidLabelName, LabelName, OperatorSettings};
pub use spec::{
    Invalid, Scaling, ValidatedModelService,
    behavior::{CompleteBehavior, CompleteRules},
    invalid::{InvalidPod, InvalidResources},
    scaling::PodAutoscaling,
    schedule,
};
pub use status::{
    batching::pods_to_query,
    conditions::{WRITES_UNDONE, requeue_at},
    events::{Event, SCALE, Severity, events},
    invalid_spec_status, last_valid_status, observation_failed_status, status,
    yielding::{own_status, yielding},
};
pub use upgrades::{
    Stage, TEMPLATE_ANNOTATION, UpgradePermission, UpgradePolicy, UpgradeReadiness, Upgrades,
    WaitReason, served_image, stage,
};
