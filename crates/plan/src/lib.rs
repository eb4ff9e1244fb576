//! The desired state and the status of a ModelService, as pure functions of its spec and of the observed state. This
//! crate has no client, no clock and no asynchronous code.
//!
//! A reconcile has five steps:
//!
//! 1. **Parse.** [`ValidatedModelService::try_from`] parses the spec. If the spec is invalid, plan with the last valid
//!    one ([`ValidatedModelService::from_last_valid`]) and write [`last_valid_status`]. If there is none, write
//!    [`invalid_spec_status`]. If the state can't be observed, write [`observation_failed_status`] and try again.
//! 2. **Plan.** Add the events of [`stuck_pod_uid`] to [`Observed::events`]. [`desired`] then computes the plan and
//!    never fails. [`stage`] reports its upgrade to [`Upgrades`], and [`Desired::hold_upgrade`] withholds the upgrade.
//! 3. **Apply.** Check [`Desired::recheck`], then apply the plan in the order of its fields:
//!    [`delete`](Desired::delete), [`apply`](Desired::apply) with force as [`field_manager::OPERATOR`], and
//!    [`replicas`](Desired::replicas). The [`handover`] precedes the apply of an existing Deployment. Skip what
//!    [`is_applied`]. Record the results in [`Applied`].
//! 4. **Query.** Query [`pods_to_query`] and record their replies in [`Applied`]. Read the metadata of the
//!    [`pending_config_map`], and delete [`pods_to_replace`].
//! 5. **Report.** [`status`] computes the status, [`events`] its changes, and [`requeue_at`] the time of the next
//!    reconcile.
//!
//! # Example
//!
//! ```
//! use springtide_api::ModelService;
//! use springtide_plan::{Observed, OperatorSettings, ValidatedModelService, desired};
//!
//! let model_service: ModelService = serde_json::from_str(
//!     r#"{
//!         "apiVersion": "serving.springtide.dev/v1alpha1",
//!         "kind": "ModelService",
//!         "metadata": {"name": "iris", "namespace": "models", "uid": "1", "generation": 1},
//!         "spec": {"model": {"uri": "configMap://iris/model.onnx"}}
//!     }"#,
//! )?;
//! let settings = OperatorSettings {
//!     server_image: "springtide-server".to_owned(),
//!     prometheus_address: "http://prometheus.monitoring.svc:9090".to_owned(),
//!     allowed_prometheus_addresses: Vec::new(),
//!     namespace_label: "namespace".parse()?,
//!     pod_label: "pod".parse()?,
//!     scrape_interval_seconds: 15,
//! };
//! let validated = ValidatedModelService::try_from(&model_service)?;
//! let plan = desired(&validated, &Observed::default(), &settings);
//! let kinds: Vec<_> = plan.apply.iter().map(|child| child.kind().as_str()).collect();
//! println!("{}", kinds.join(", "));
//! # assert_eq!(
//! #     kinds,
//! #     ["Service", "PodDisruptionBudget", "Deployment", "HorizontalPodAutoscaler"]
//! # );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
