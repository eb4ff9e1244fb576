//! The Open Inference Protocol v2: what HTTP ([`http`]) and gRPC ([`crate::grpc`]) have in common.
//!
//! The protocol itself is [`springtide_open_inference`]; here its requests meet the models.

mod describe;
pub mod error;
pub mod http;
mod infer;

pub(crate) use self::describe::{index, model_config, model_metadata, server_metadata, statistics};
pub use self::error::ProtocolError;
pub(crate) use self::infer::{
    ContentBounds, find, output_bytes, parse_bytes, run, run_bytes, series, serving, version,
};
