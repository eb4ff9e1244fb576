//! A fake Kubernetes API server that behaves, and faults to inject into it.
//!
//! [`FakeApi`] is an in-process HTTP service for a [`kube::Client`]: objects with resource versions
//! and generations, server-side apply with field ownership, the status subresource, preconditions,
//! watches and garbage collection by owner reference. Nothing listens on a socket and nothing runs
//! in the background, so a test decides what happens when.
//!
//! It is smaller than the real one in ways that are listed here and nowhere else:
//!
//! - no schema: nothing is validated and, apart from a Deployment's `spec.replicas`, nothing is
//!   defaulted;
//! - a list is one field, owned and replaced as a whole;
//! - every resource is namespaced and has a status subresource;
//! - `limit`, field selectors and set-based label selectors are not served.

mod api;
mod faults;
mod managers;
mod refusals;
mod request;
mod resource;
mod server;
mod store;

pub use faults::{Call, Fault};
pub use resource::ResourceType;
pub use server::FakeApi;
