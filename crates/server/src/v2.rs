//! The Open Inference Protocol v2: the common parts of HTTP ([`http`]) and gRPC ([`crate::grpc`]).
//!
//! The protocol itself is in [`springtide_open_inference`]. This module runs its requests on the models.

mod describe;
pub mod error;
pub mod http;
mod infer;

pub(crate) use self::describe::{index, model_config, model_metadata, server_metadata, statistics};
pub use self::error::ProtocolError;
pub(crate) use self::infer::{
    ContentBounds, find, output_bytes, parse_bytes, run, run_bytes, series, serving, version,
};
