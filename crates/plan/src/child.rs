//! The objects that the operator creates for a ModelService.

use std::fmt;

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service,
    policy::v1::PodDisruptionBudget,
};
use kube::{Resource, ResourceExt, core::ApiResource};
use serde::Serialize;

use crate::keda::ScaledObject;

/// Kinds of objects that the operator creates for a ModelService. Each ModelService has at most one of each, and all of
/// them have its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChildKind {
    /// The address of the model.
    Service,
    /// Keeps drains from evicting all pods at once.
    PodDisruptionBudget,
    /// The serving pods.
    Deployment,
    /// The autoscaler with `engine: HPA`.
    HorizontalPodAutoscaler,
    /// The autoscaler with `engine: KEDA`.
    ScaledObject,
}

impl ChildKind {
    /// All kinds, in the order of their application.
    pub const ALL: [Self; 5] = [
        Self::Service,
        Self::PodDisruptionBudget,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::ScaledObject,
    ];

    /// The kind's name in the Kubernetes API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Deployment => "Deployment",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::ScaledObject => "ScaledObject",
        }
    }

    /// Whether it sets the replicas.
    #[must_use]
    pub const fn is_autoscaler(self) -> bool {
        matches!(self, Self::HorizontalPodAutoscaler | Self::ScaledObject)
    }

    /// The resource for a dynamic client.
    #[must_use]
    pub fn api_resource(self) -> ApiResource {
        match self {
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::HorizontalPodAutoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            Self::ScaledObject => ApiResource::erase::<ScaledObject>(&()),
        }
    }
}

impl fmt::Display for ChildKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An object of a ModelService, as it is applied.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Child {
    /// The address of the model.
    Service(Box<Service>),
    /// Keeps drains from evicting all pods at once.
    PodDisruptionBudget(Box<PodDisruptionBudget>),
    /// The serving pods. `spec.replicas` is set only if the Deployment is to be created.
    Deployment(Box<Deployment>),
    /// The autoscaler with `engine: HPA`.
    HorizontalPodAutoscaler(Box<HorizontalPodAutoscaler>),
    /// The autoscaler with `engine: KEDA`.
    ScaledObject(Box<ScaledObject>),
}

impl Child {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ChildKind {
        match self {
            Self::Service(_) => ChildKind::Service,
            Self::PodDisruptionBudget(_) => ChildKind::PodDisruptionBudget,
            Self::Deployment(_) => ChildKind::Deployment,
            Self::HorizontalPodAutoscaler(_) => ChildKind::HorizontalPodAutoscaler,
            Self::ScaledObject(_) => ChildKind::ScaledObject,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        fn name_of(object: &impl Resource) -> String {
            object.name_any()
        }
        match self {
            Self::Service(object) => name_of(object.as_ref()),
            Self::PodDisruptionBudget(object) => name_of(object.as_ref()),
            Self::Deployment(object) => name_of(object.as_ref()),
            Self::HorizontalPodAutoscaler(object) => name_of(object.as_ref()),
            Self::ScaledObject(object) => name_of(object.as_ref()),
        }
    }
}
