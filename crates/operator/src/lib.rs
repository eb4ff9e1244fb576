//! The operator: a shell around `springtide-plan` that watches, reads and writes objects.
//!
//! A reconcile is read → validate → observe → plan → delete → apply → status. The former autoscaler is gone before the
//! next one is created. All decisions are in `springtide-plan`, and those of the leader election in
//! [`leader::evaluate`]. This crate calls the API server and waits.
//!
//! [`run::run`] is the whole operator, with its settings from the command line. A single reconcile needs a
//! [`Context`](reconcile::Context) alone:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use clap::Parser;
//! use springtide_operator::{
//!     metrics::Metrics,
//!     pod_status::HttpPodStatusClient,
//!     reconcile::{Context, reconcile},
//!     settings::Settings,
//! };
//!
//! # async fn example() -> anyhow::Result<()> {
//! let settings = Settings::parse();
//! let context = Context::new(
//!     kube::Client::try_default().await?,
//!     settings.for_plans(),
//!     Metrics::new()?,
//!     settings.identity(),
//!     Arc::new(HttpPodStatusClient::new()),
//!     settings.upgrades(),
//! );
//! // Creates, updates or deletes the objects of the ModelService `iris`, and writes its status.
//! let reconciled = reconcile(&context, "default", "iris").await?;
//! println!("{:?}, next at {:?}", reconciled.outcome, reconciled.requeue_at);
//! # Ok(())
//! # }
//! ```

pub mod access;
mod active_reconciles;
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
