//! The server: fetches ONNX models and serves them over HTTP and gRPC with dynamic batching.
//!
//! [`serve`] starts and stops everything. A connection of [`net`] passes a request to the routes of [`http`]. Its
//! endpoint ([`predict`], [`v2`], [`grpc`]) parses it and looks up its model in [`models`], where it is queued for a
//! batch. [`fetch`] is the init container that downloads a model.
//!
//! Decisions are pure and tested without a socket: [`springtide_tasks`] and [`springtide_open_inference`] (the meaning
//! of a request), [`predict::error`] and [`v2::error`] (the errors of clients), [`models::plan`] (loads and unloads),
//! [`fetch::fault`] and [`fetch::location`] (the meaning of a source's response).
//!
//! ```
//! use springtide_server::predict::error::ApiError;
//! use springtide_tasks::request::FieldError;
//!
//! let error = ApiError::from(FieldError::new("rows[2].age", "is missing"));
//! assert_eq!(error.to_string(), "rows[2].age is missing");
//! assert_eq!(error.field(), Some("rows[2].age"));
//! ```

pub mod app;
pub mod body;
mod cgroup;
pub mod cli;
pub mod cpu;
pub mod fetch;
pub mod grpc;
pub mod http;
pub mod inspect;
pub mod lifecycle;
pub mod memory;
pub mod memory_budget;
pub mod metrics;
pub mod models;
pub mod net;
pub mod openai;
pub mod openapi;
pub mod page;
pub mod predict;
pub mod preparation;
pub mod request_memory;
pub mod serve;
pub mod termination;
pub mod v1;
pub mod v2;
