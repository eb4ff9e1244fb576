//! The `ModelService` resource: types, defaults, bounds and validation rules.
//!
//! [`crd`] contains the defaults, the bounds and the CEL rules, so that the API server rejects an invalid spec at
//! `kubectl apply`. Strings with a format are parsed once, into [`ModelUri`] and [`Sha256`].
//!
//! ```
//! use springtide_api::ModelUri;
//!
//! let uri: ModelUri = "configMap://iris/model.onnx".parse()?;
//! assert!(!uri.requires_sha256());
//! # Ok::<(), springtide_api::InvalidModelUri>(())
//! ```

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

/// Maximum number of characters in the name of a ModelService. KEDA names its HPA `keda-hpa-<name>` and uses that as
/// a label value, which Kubernetes limits to 63 characters.
pub const MAX_NAME_LENGTH: usize = 54;
