//! The Open Inference Protocol v2, which Triton, KServe and others speak: what its requests mean and
//! how its answers are written, over HTTP (JSON and Triton's binary tensors) and over gRPC.
//!
//! Pure: every function takes bytes or messages and gives tensors, or the other way round. One
//! [`InferRequest`] and one [`InferResponse`] stand for both transports. Nothing that a client sends
//! makes it allocate more than a small multiple of what was sent: shapes, counts and lengths are
//! judged first. Every complaint names the tensor or the field.
//!
//! One policy for NaN and infinity: they are elements like others where elements are raw bytes or
//! floats of gRPC, and refused in JSON both ways, which has no words for them.

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

pub use error::{InvalidRequest, NotFinite};
pub use limits::{Limits, MAX_STRINGS};
pub use request::{InferRequest, Input, RequestedOutput, ResolvedRequest, Selected};
pub use response::{InferResponse, Output};
