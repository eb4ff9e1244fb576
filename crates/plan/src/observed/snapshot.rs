//! What is observed about a ModelService, as plain data.

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

/// What is observed about a ModelService. Objects are looked up by name, whoever owns them; their
/// `metadata.managedFields` must be there.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// When it is observed: what schedules ask for depends on it.
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
    /// The HorizontalPodAutoscaler that KEDA makes for that ScaledObject
    /// ([`ValidatedModelService::keda_hpa_name`](crate::ValidatedModelService::keda_hpa_name)).
    pub keda_horizontal_pod_autoscaler: Option<HorizontalPodAutoscaler>,
    /// Names of the HorizontalPodAutoscalers that scale the Deployment and were made by neither the
    /// operator nor KEDA for this ModelService ([`is_foreign_autoscaler`](crate::is_foreign_autoscaler)). Only where the
    /// number of pods is fixed: beside an autoscaler of ours an HPA says so itself.
    pub other_autoscalers: BTreeSet<String>,
    /// The pods that [`labels::selecting`](crate::labels::selecting) selects.
    pub pods: Vec<Pod>,
    /// The events of the pod that is stuck ([`stuck_pod_uid`](crate::stuck_pod_uid)), if there is one.
    pub events: Vec<Event>,
    /// What the cluster can do.
    pub capabilities: Capabilities,
}

/// What a cluster can do that not every cluster can.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// KEDA's ScaledObject is served.
    pub keda: bool,
    /// Whether KEDA may run, as far as the cluster tells.
    pub external_metrics: ExternalMetrics,
    /// What a HorizontalPodAutoscaler can follow besides CPU and memory.
    pub pods_metrics: PodsMetrics,
    /// What chooses users and groups of pods.
    pub platform: Platform,
}

/// What chooses users and groups of pods that don't ask for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Platform {
    /// Nothing: the pod's own spec and its images do.
    Kubernetes,
    /// It hasn't been asked yet.
    #[default]
    Unknown,
    /// Security context constraints (`security.openshift.io`), which refuse users of the pod's own choice.
    OpenShift,
}

/// Whether there is the external metrics API (`external.metrics.k8s.io`), which KEDA registers beside its
/// definitions: these stay where somebody deletes KEDA itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExternalMetrics {
    /// There is no such API: no KEDA runs, or it can't pass a reading on.
    Absent,
    /// It hasn't been asked yet.
    #[default]
    Unknown,
    /// It is registered, whether it answers just now or not.
    Registered,
}

/// Which serving signals the custom metrics API (`custom.metrics.k8s.io`) has for pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PodsMetrics {
    /// There is no such API: no adapter is installed.
    Absent,
    /// It is registered and doesn't answer, or hasn't been asked yet.
    #[default]
    Unknown,
    /// It lists these. Less than what there is: an adapter leaves out what no pod reports just now,
    /// and lists nothing after a start without Prometheus.
    Listed(BTreeSet<Signal>),
}

impl Observed {
    /// Metadata of the object of a kind that has the ModelService's name.
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
