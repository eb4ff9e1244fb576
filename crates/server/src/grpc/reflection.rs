//! The gRPC reflection service, from which clients such as grpcurl and Postman read the methods.

use axum::Router;
use axum::body::{Body, HttpBody};
use futures::StreamExt;
use tonic_reflection::server::{Builder, Error};

use super::descriptor;
use crate::lifecycle::Lifecycle;

/// Maximum bytes of a request: the name of a service, a message or a file.
const MAX_REQUEST_BYTES: usize = 4 * 1024;

/// Memory of one call, in bytes. tonic collects responses up to 32 KiB and one more, in a buffer that doubles as
/// it grows: 64 KiB. Two more responses may be pending: the largest is a file of less than 12 KiB with its request.
pub(super) const CALL_BYTES: usize = 96 * 1024;

/// The method's name in both versions of the service.
pub(super) const METHOD: &str = "/ServerReflectionInfo";

/// The services, for a router of others. If their descriptors can't be read, none, and the error is logged.
pub(super) fn routes() -> Router {
    services().unwrap_or_else(|error| {
        tracing::error!(%error, "can't serve gRPC reflection");
        Router::new()
    })
}

fn services() -> Result<Router, Error> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(descriptor::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder()
        .build_v1()?
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    // For older clients.
    let v1alpha = builder()
        .build_v1alpha()?
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    Ok(Router::new()
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", v1)
        .route_service(
            "/grpc.reflection.v1alpha.ServerReflection/{method}",
            v1alpha,
        ))
}

/// The requests of a client until streams are to end: the client may never close its stream.
pub(super) fn until_streams_end(body: Body, lifecycle: &Lifecycle) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let lifecycle = lifecycle.clone();
    let end = async move { lifecycle.streams_end().await };
    Body::from_stream(body.into_data_stream().take_until(Box::pin(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_can_be_read() {
        assert!(services().is_ok());
    }
}
