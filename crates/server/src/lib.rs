//! The server: fetches ONNX models and serves them over HTTP and gRPC with dynamic batching.
//!
//! [`serve`] starts and stops everything. A connection of [`net`] passes a request to the routes of [`http`]. Its
//! endpoint ([`predict`], [`v2`], [`grpc`]) parses it and looks up its model in [`models`], where it is queued for a
//! batch. [`fetch`] is the init container that downloads a model.
//!
//! Decisions are pure and tested without a socket: [`predict::request`] and [`springtide_open_inference`] (the meaning
//! of a request), [`predict::error`] and [`v2::error`] (the errors of clients), [`models::plan`] (loads and unloads),
//! [`fetch::fault`] and [`fetch::location`] (the meaning of a source's response).
//!
//! ```
//! use std::num::NonZeroUsize;
//!
//! use springtide_server::predict::request::{PredictLimits, parse};
//!
//! let limits = PredictLimits {
//!     features: NonZeroUsize::new(2).unwrap(),
//!     max_rows: NonZeroUsize::new(32).unwrap(),
//! };
//! let request = parse(br#"{"features": [[1, 2], [3, 4]]}"#, limits).unwrap();
//! assert_eq!(request.rows.get(), 2);
//!
//! let error = parse(br#"{"features": [1, "2"]}"#, limits).unwrap_err();
//! assert_eq!(error.to_string(), "features[1] must be a finite number, not a string");
//! ```

pub mod app;
pub mod body;
mod cgroup;
pub mod cli;
pub mod cpu;
pub mod fetch;
pub mod grpc;
pub mod http;
pub mod lifecycle;
pub mod memory;
pub mod memory_budget;
pub mod metrics;
pub mod models;
pub mod net;
pub mod predict;
pub mod request_memory;
pub mod serve;
mod small_file;
pub mod termination;
pub mod v2;
