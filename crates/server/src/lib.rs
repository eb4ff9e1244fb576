//! Fetches ONNX models and serves them over HTTP and gRPC with dynamic batching.
//!
//! [`serve`] brings everything up and down. A request comes in by [`net`] and [`http`], is read by
//! its endpoint ([`predict`], [`v2`], [`grpc`]), finds its model in [`models`] and waits there for
//! its batch. What decides is pure and tested without a socket: [`predict::request`] and
//! [`springtide_open_inference`] (what a request means), [`predict::error`] and [`v2::error`] (what a
//! client is told), [`models::plan`] (what is loaded and unloaded), [`fetch::attempt`] and
//! [`fetch::location`] (what a source's answer means).

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
