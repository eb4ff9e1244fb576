//! What can be wrong with a spec.

use springtide_api::{InvalidModelSource, InvalidSha256, MAX_NAME_LENGTH, resources::UNLIMITED};

use crate::spec::schedule::InvalidSchedule;

/// What is wrong with a spec. The API server refuses such a spec with the present CRD; an older CRD
/// may have let it through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Metadata that the API server always sets isn't there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The name can't be used for everything that is made for the ModelService.
    #[error("metadata.name must be a DNS-1035 label of at most {MAX_NAME_LENGTH} characters")]
    Name,
    /// Where the model comes from.
    #[error(transparent)]
    ModelSource(#[from] InvalidModelSource),
    /// The SHA-256 of the model.
    #[error("spec.model.sha256 {0}")]
    Sha256(#[from] InvalidSha256),
    /// A model from the web without a SHA-256.
    #[error(
        "spec.model.sha256 is required for https:// and http:// models, and with spec.model.uriFrom"
    )]
    Sha256Missing,
    /// A fixed number of pods under an autoscaler.
    #[error("spec.replicas is only allowed with spec.autoscaling.engine None")]
    ReplicasWithEngine,
    /// Neither an autoscaler nor a fixed number of pods.
    #[error("spec.replicas is required with spec.autoscaling.engine None")]
    ReplicasMissing,
    /// A value that is out of its bounds.
    #[error("{field} must {must}")]
    OutOfBounds {
        /// The field.
        field: String,
        /// What it must be or have.
        must: String,
    },
    /// A tolerance that isn't one.
    #[error("{field} must be from 0 to 1 with at most three decimals")]
    Tolerance {
        /// The field.
        field: String,
    },
    /// A schedule that makes no sense.
    #[error(transparent)]
    Schedule(#[from] InvalidSchedule),
    /// A number of pods, or a percentage, that is none.
    #[error("{field} must be a number of pods from 0 to 1000, or a percentage from 0% to 100%")]
    PodAmount {
        /// The field.
        field: &'static str,
    },
    /// A rollout that could replace no pod.
    #[error("spec.rollout.maxSurge and spec.rollout.maxUnavailable must not both be 0")]
    RolloutOfNothing,
    /// What pods have besides the server.
    #[error(transparent)]
    Pod(#[from] InvalidPod),
    /// Requests and limits of the pods.
    #[error(transparent)]
    Resources(#[from] InvalidResources),
    /// It can't be parsed.
    #[error("the spec can't be parsed (the CRD may be newer than the operator): {0}")]
    Unreadable(String),
    /// Fewer pods at most than at least.
    #[error("spec.autoscaling.minReplicas must be at most spec.autoscaling.maxReplicas")]
    MinAboveMax,
}

/// Reason of a spec that makes no sense.
pub(crate) const INVALID_SPEC: &str = "InvalidSpec";

/// Reason of a spec that can't be parsed.
pub(crate) const UNREADABLE_SPEC: &str = "UnreadableSpec";

impl Invalid {
    /// The stable name of this class of errors, for conditions, events and metric labels.
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

/// What is wrong with what a spec says of pods.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPod {
    /// A name that has a meaning already.
    #[error("{field} must not contain {name}, which the operator sets")]
    Reserved {
        /// The field.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// A volume of no kind that is allowed, or of several.
    #[error(
        "spec.pod.volumes[] must have exactly one of configMap, secret, persistentVolumeClaim, emptyDir, csi, image, but {0} doesn't"
    )]
    VolumeKind(String),
    /// An empty volume without a size.
    #[error("spec.pod.volumes[].emptyDir.sizeLimit of {0} must be a quantity of at most 16Ti")]
    VolumeSize(String),
    /// A mount of a volume that isn't there.
    #[error(
        "spec.pod.volumeMounts[].name must be the name of a volume in spec.pod.volumes, but {0} isn't"
    )]
    NoVolume(String),
}

/// What is wrong with requests and limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResources {
    /// A resource that may not be named.
    #[error(
        "spec.server.resources may have cpu, memory and extended resources such as nvidia.com/gpu, but not {0}"
    )]
    Name(String),
    /// What isn't an amount, or not one of this resource.
    #[error(
        "spec.server.resources must have a positive quantity of {0}, and a whole number for all but cpu and memory"
    )]
    Amount(String),
    /// A request that is more than the limit.
    #[error("spec.server.resources.requests.{0} must be at most spec.server.resources.limits.{0}")]
    AboveLimit(String),
    /// Another request of a device than its limit.
    #[error("spec.server.resources.requests.{0} must be equal to spec.server.resources.limits.{0}")]
    NotLimit(String),
    /// No limit where there has to be one.
    #[error("spec.server.resources.limits may be {UNLIMITED} only for cpu, not for {0}")]
    Unlimited(String),
}
