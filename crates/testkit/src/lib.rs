//! A fake Kubernetes API server that behaves, and faults to inject into it.
//!
//! [`FakeApi`] is an in-process HTTP service for a [`kube::Client`]: objects with resource versions
//! and generations, server-side apply with field ownership, the status and scale subresources,
//! preconditions, finalizers, watches, garbage collection by owner reference, reviews of tokens and of access to
//! paths, and APIs of other servers. Nothing listens on a socket and nothing runs
//! in the background, so a test decides what happens when.
//!
//! It is smaller than the real one in ways that are listed here and nowhere else:
//!
//! - no schema: nothing is validated and, apart from a Deployment's `spec.replicas`, nothing is
//!   defaulted;
//! - lists and maps that operators don't use are merged as lists and maps without a schema are;
//! - every resource is namespaced and has a status subresource;
//! - pages of a list are not of one moment; field selectors and set-based label selectors are not served.

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
