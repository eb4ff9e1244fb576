//! The `ModelService` resource: its types, defaults, bounds and validation rules, and nothing else.
//!
//! Everything that an API server can check, it checks: [`crd`] carries the defaults, the bounds and
//! the CEL rules, so that a bad spec is refused at `kubectl apply`. What stands in a string is parsed
//! once, into [`ModelUri`] and [`Sha256`].

// `KubeSchema` copies each struct, with its `pub`, into a function body.
#![allow(unreachable_pub)]

pub mod autoscaling;
pub mod behavior;
mod crd;
pub mod model;
mod model_service;
mod model_uri;
pub mod pod;
mod refused;
pub mod resources;
pub mod rollout;
pub mod schedule;
mod schema;
pub mod server;
pub mod status;
pub mod targets;

pub use crd::crd;
pub use model_service::{ModelService, ModelServiceSpec};
pub use model_uri::{InvalidModelSource, InvalidModelUri, ModelUri};
pub use refused::{NEVER, is_refused};
pub use springtide_contract::sha256::{InvalidSha256, Sha256};
pub use status::ModelServiceStatus;

/// API group of the ModelService.
pub const GROUP: &str = "serving.springtide.dev";

/// API version of the ModelService.
pub const VERSION: &str = "v1alpha1";

/// Most characters in a ModelService's name. KEDA names its HPA `keda-hpa-<name>` and uses that as
/// a label value, which Kubernetes limits to 63 characters.
pub const MAX_NAME_LENGTH: usize = 54;
