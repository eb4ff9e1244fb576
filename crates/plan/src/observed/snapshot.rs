//! The observed state of a ModelService, as plain data.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Event, Pod, Service},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::Timestamp,
};

use springtide_api::targets::Signal;

use crate::{child::ChildKind, keda::ScaledObject};

/// The observed state of a ModelService. Objects are looked up by name, with any owner. They must have their
/// `metadata.managedFields`.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The time of the observation. Schedules depend on it.
    pub at: Timestamp,
    /// The Service with the ModelService's name.
    pub service: Option<Service>,
    /// The PodDisruptionBudget with the ModelService's name.
    pub pod_disruption_budget: Option<PodDisruptionBudget>,
    /// The Deployment with the ModelService's name.
    pub deployment: Option<Deployment>,
    /// The HorizontalPodAutoscaler with the ModelService's name.
    pub horizontal_pod_autoscaler: Option<HorizontalPodAutoscaler>,
    /// The ScaledObject with the ModelService's name.
    pub scaled_object: Option<ScaledObject>,
    /// The HorizontalPodAutoscaler that KEDA creates for that ScaledObject
    /// ([`ValidatedModelService::keda_hpa_name`](crate::ValidatedModelService::keda_hpa_name)).
    pub keda_horizontal_pod_autoscaler: Option<HorizontalPodAutoscaler>,
    /// Names of the HorizontalPodAutoscalers that scale the Deployment, but were created neither by the operator nor by
    /// KEDA for this ModelService ([`is_foreign_autoscaler`](crate::is_foreign_autoscaler)). Only with fixed replicas:
    /// beside an autoscaler of ours, the HPA reports the conflict itself.
    pub other_autoscalers: BTreeSet<String>,
    /// The pods with the [`labels::selector_labels`](crate::labels::selector_labels).
    pub pods: Vec<Pod>,
    /// The events of the stuck pod ([`stuck_pod_uid`](crate::stuck_pod_uid)), if there is one.
    pub events: Vec<Event>,
    /// The optional capabilities of the cluster.
    pub capabilities: Capabilities,
}

/// Optional capabilities of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether the API server serves KEDA's ScaledObject.
    pub keda: bool,
    /// Whether KEDA may be running, as far as API discovery tells.
    pub external_metrics: ExternalMetrics,
    /// The pod metrics that a HorizontalPodAutoscaler can follow besides CPU and memory.
    pub pods_metrics: PodsMetrics,
    /// What assigns users and groups to pods.
    pub platform: Platform,
}

/// What assigns users and groups to pods that don't request one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Platform {
    /// Only the pod's spec and its images.
    Kubernetes,
    /// Not yet discovered.
    #[default]
    Unknown,
    /// Security context constraints (`security.openshift.io`), which reject users that the pod requests.
    OpenShift,
}

/// Whether the external metrics API (`external.metrics.k8s.io`) exists. KEDA registers it. KEDA's CRDs may remain when
/// KEDA itself is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExternalMetrics {
    /// The API doesn't exist: KEDA isn't running, or can't serve readings.
    Absent,
    /// Not yet discovered.
    #[default]
    Unknown,
    /// The API is registered, whether or not it currently responds.
    Registered,
}

/// Which serving signals the custom metrics API (`custom.metrics.k8s.io`) has for pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PodsMetrics {
    /// The API doesn't exist: no adapter is installed.
    Absent,
    /// The API is registered and doesn't respond, or isn't discovered yet.
    #[default]
    Unknown,
    /// The API lists these. The list can be incomplete: an adapter omits metrics that no pod currently reports, and
    /// lists none after a start without Prometheus.
    Listed(BTreeSet<Signal>),
}

impl Observed {
    /// Metadata of the object of a kind with the ModelService's name.
    pub(crate) fn metadata(&self, kind: ChildKind) -> Option<&ObjectMeta> {
        match kind {
            ChildKind::Service => self.service.as_ref().map(|object| &object.metadata),
            ChildKind::PodDisruptionBudget => self
                .pod_disruption_budget
                .as_ref()
                .map(|object| &object.metadata),
            ChildKind::Deployment => self.deployment.as_ref().map(|object| &object.metadata),
            ChildKind::HorizontalPodAutoscaler => self
                .horizontal_pod_autoscaler
                .as_ref()
                .map(|object| &object.metadata),
            ChildKind::ScaledObject => self.scaled_object.as_ref().map(|object| &object.metadata),
        }
    }
}
