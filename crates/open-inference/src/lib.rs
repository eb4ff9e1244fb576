//! The Open Inference Protocol v2 of Triton, KServe and others: parsing of requests and writing of responses, over HTTP
//! (JSON and Triton's binary tensors) and gRPC.
//!
//! The crate is pure: each function converts bytes or messages to tensors, or the reverse. [`InferRequest`] and
//! [`InferResponse`] are common to both transports. Shapes, counts and lengths are checked before memory is allocated,
//! so a request can allocate only a small multiple of its size. Every error names the tensor or the field.
//!
//! NaN and infinity are allowed in raw bytes and in the floats of gRPC. JSON can't represent them, so they are rejected
//! there, in requests and responses.
//!
//! ```
//! use springtide_open_inference::{Limits, http::parse_request};
//!
//! let body = br#"{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1]}]}"#;
//! let request = parse_request(body, None, &Limits::open())?;
//! assert_eq!(request.inputs[0].tensor.shape(), [1, 2]);
//! # Ok::<(), springtide_open_inference::InvalidRequest>(())
//! ```

mod datatype;
mod error;
pub mod grpc;
pub mod http;
mod limits;
pub mod metadata;
mod parameters;
mod raw;
mod request;
mod response;
#[cfg(test)]
mod test_tensors;

pub use datatype::name as datatype_name;
pub use error::{InvalidRequest, NotFinite};
pub use limits::{Limits, MAX_STRINGS};
pub use request::{InferRequest, Input, RequestedOutput, ResolvedRequest, Selected};
pub use response::{InferResponse, Output};
