//! The operator: a shell around `springtide-plan` that watches, reads and writes objects.
//!
//! A reconcile is read → validate → observe → plan → delete → apply → status. The former autoscaler is gone before the
//! next one is created. All decisions are in `springtide-plan`, and those of the leader election in
//! [`leader::evaluate`]. This crate calls the API server and waits.

pub mod access;
mod apply;
mod awaited;
mod backoff;
mod caches;
pub mod capabilities;
pub mod claims;
pub mod controller;
pub mod error;
mod events;
pub mod http;
pub mod leader;
pub mod metrics;
mod model_services;
mod object_cache;
mod observe;
mod pod_events;
pub mod pod_status;
mod queue;
pub mod readiness;
pub mod reconcile;
pub mod run;
pub mod scope;
pub mod settings;
mod shutdown;
mod undone;
pub mod upgrades;
mod watches;
