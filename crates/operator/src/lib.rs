//! The controller that keeps what a ModelService wants: the shell around `springtide-plan`.
//!
//! A reconcile goes read → validate → observe → plan → delete → apply → status: an autoscaler is gone
//! before the one that follows it is made. Everything that decides is in `springtide-plan` (and, for the leader election, in [`leader::evaluate`]); what is here talks
//! to the API server and waits.

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
