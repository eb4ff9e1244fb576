//! A fake Kubernetes API server for tests of operators, with faults that a test injects into it.
//!
//! [`FakeApi`] is an in-process HTTP service for a [`kube::Client`]. It has
//!
//! - objects with resource versions and generations;
//! - server-side apply with field ownership, and merge patches;
//! - the status and scale subresources;
//! - preconditions, finalizers, and garbage collection by owner reference;
//! - watches, which a test can pause, resume and end;
//! - reviews of tokens and of access to paths;
//! - APIs of other servers, as an `APIService` registers them.
//!
//! It doesn't listen on a socket and has no background tasks, so tests are deterministic.
//!
//! ```
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::Api;
//! use serde_json::json;
//! use springtide_testkit::{FakeApi, Fault, ResourceType};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kube::Error> {
//! let fake = FakeApi::new();
//! let config_maps = ResourceType::of::<ConfigMap>();
//! fake.edit(&config_maps, "default", "iris", "kubectl", &json!({"data": {"key": "value"}}));
//!
//! // The code under test gets a client of the fake API server.
//! let api = Api::<ConfigMap>::namespaced(fake.client(), "default");
//! assert!(api.get("iris").await?.data.is_some());
//!
//! // The next call fails.
//! fake.inject(1, Fault::Status(503));
//! assert!(api.get("iris").await.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! It differs from a real API server in these points:
//!
//! - It has no schemas. It validates nothing, and it has no defaults but a Deployment's `spec.replicas`.
//! - Lists and maps that operators don't use are merged like lists and maps without a schema.
//! - Every resource is namespaced and has a status subresource.
//! - The pages of a list can be from different moments.
//! - Field selectors and set-based label selectors are not supported.

mod aggregated;
mod api;
mod document;
mod errors;
mod faults;
mod fields;
mod managed_fields;
mod request;
mod resource;
mod reviews;
mod schema;
mod server;
mod store;

pub use aggregated::Aggregated;
pub use faults::{Call, Fault};
pub use resource::ResourceType;
pub use server::FakeApi;
pub use store::Change;
