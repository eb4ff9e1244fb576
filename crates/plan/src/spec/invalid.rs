//! Errors in a spec.

use springtide_api::{InvalidModelSource, InvalidSha256, MAX_NAME_LENGTH, resources::UNLIMITED};

use crate::spec::schedule::InvalidSchedule;

/// An error in a spec. With the current CRD the API server rejects most of these specs. An older CRD may have allowed
/// them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Metadata that the API server always sets is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The name isn't valid for all objects of the ModelService.
    #[error("metadata.name must be a DNS-1035 label of at most {MAX_NAME_LENGTH} characters")]
    Name,
    /// The model source is invalid.
    #[error(transparent)]
    ModelSource(#[from] InvalidModelSource),
    /// The SHA-256 of the model is invalid.
    #[error("spec.model.sha256 {0}")]
    Sha256(#[from] InvalidSha256),
    /// A model from the web has no SHA-256.
    #[error(
        "spec.model.sha256 is required for https:// and http:// models, and with spec.model.uriFrom"
    )]
    Sha256Missing,
    /// Fixed replicas together with an autoscaler.
    #[error("spec.replicas is only allowed with spec.autoscaling.engine None")]
    ReplicasWithEngine,
    /// Neither an autoscaler nor fixed replicas.
    #[error("spec.replicas is required with spec.autoscaling.engine None")]
    ReplicasMissing,
    /// A value is out of its bounds.
    #[error("{field} must {must}")]
    OutOfBounds {
        /// The field.
        field: String,
        /// The requirement, after "must".
        must: String,
    },
    /// A tolerance is invalid.
    #[error("{field} must be from 0 to 1 with at most three decimals")]
    Tolerance {
        /// The field.
        field: String,
    },
    /// A schedule is invalid.
    #[error(transparent)]
    Schedule(#[from] InvalidSchedule),
    /// A number or percentage of pods is invalid.
    #[error("{field} must be a number of pods from 0 to 1000, or a percentage from 0% to 100%")]
    PodAmount {
        /// The field.
        field: &'static str,
    },
    /// A rollout that can't replace any pod.
    #[error("spec.rollout.maxSurge and spec.rollout.maxUnavailable must not both be 0")]
    RolloutOfNothing,
    /// Settings of the pods are invalid.
    #[error(transparent)]
    Pod(#[from] InvalidPod),
    /// Requests or limits of the pods are invalid.
    #[error(transparent)]
    Resources(#[from] InvalidResources),
    /// The spec can't be parsed.
    #[error("the spec can't be parsed (the CRD may be newer than the operator): {0}")]
    Unreadable(String),
    /// The minimum exceeds the maximum.
    #[error("spec.autoscaling.minReplicas must be at most spec.autoscaling.maxReplicas")]
    MinAboveMax,
}

/// Reason of a spec with an error.
pub(crate) const INVALID_SPEC: &str = "InvalidSpec";

/// Reason of a spec that can't be parsed.
pub(crate) const UNREADABLE_SPEC: &str = "UnreadableSpec";

impl Invalid {
    /// The stable name of this class of errors for conditions, events and metric labels.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => UNREADABLE_SPEC,
            _ => INVALID_SPEC,
        }
    }
}

/// Checks a number against bounds that depend on other fields.
pub(crate) fn within(field: &str, value: i32, min: i32, max: i32) -> Result<(), Invalid> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Invalid::OutOfBounds {
        field: field.to_owned(),
        must: format!("be between {min} and {max}"),
    })
}

/// An error in `spec.pod`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPod {
    /// A reserved name.
    #[error("{field} must not contain {name}, which the operator sets")]
    Reserved {
        /// The field.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// A volume with no allowed kind, or with several.
    #[error(
        "spec.pod.volumes[] must have exactly one of configMap, secret, persistentVolumeClaim, emptyDir, csi, image, but {0} doesn't"
    )]
    VolumeKind(String),
    /// An empty volume without a valid size.
    #[error("spec.pod.volumes[].emptyDir.sizeLimit of {0} must be a quantity of at most 16Ti")]
    VolumeSize(String),
    /// A mount of an unknown volume.
    #[error(
        "spec.pod.volumeMounts[].name must be the name of a volume in spec.pod.volumes, but {0} isn't"
    )]
    NoVolume(String),
}

/// An error in requests or limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResources {
    /// A resource that isn't allowed.
    #[error(
        "spec.server.resources may have cpu, memory and extended resources such as nvidia.com/gpu, but not {0}"
    )]
    Name(String),
    /// An invalid quantity of this resource.
    #[error(
        "spec.server.resources must have a positive quantity of {0}, and a whole number for all but cpu and memory"
    )]
    Amount(String),
    /// A request above the limit.
    #[error("spec.server.resources.requests.{0} must be at most spec.server.resources.limits.{0}")]
    AboveLimit(String),
    /// A request of an extended resource that differs from its limit.
    #[error("spec.server.resources.requests.{0} must be equal to spec.server.resources.limits.{0}")]
    NotLimit(String),
    /// A missing limit.
    #[error("spec.server.resources.limits may be {UNLIMITED} only for cpu, not for {0}")]
    Unlimited(String),
}
