//! The gRPC status of a request that has no response.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::body::ReadError;
use crate::v2::ProtocolError;

/// Trailer with the time after which the client may retry, in milliseconds:
/// <https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback>.
const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The gRPC status of an error.
pub(crate) fn grpc_status(error: &ProtocolError) -> Status {
    let mut status = Status::new(error.code(), error.message());
    if let Some(wait) = error.retry_after() {
        // A client that retries at once would be rejected again.
        let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let value = MetadataValue::from(milliseconds);
        status.metadata_mut().insert(RETRY_PUSHBACK, value);
    }
    status
}

/// The beginning of tonic's message for a request that can't be decompressed.
const NOT_DECOMPRESSED: &str = "Error decompressing";

/// Corrects a status of tonic that blames the server for a message that its client compressed badly.
pub(super) fn blame_client_for_corrupt(status: Status) -> Status {
    if status.code() == Code::Internal && status.message().starts_with(NOT_DECOMPRESSED) {
        grpc_status(&ProtocolError::Body(ReadError::Corrupt))
    } else {
        status
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::models::{InferError, LookupError};

    #[test]
    fn an_overload_has_a_time_to_retry() {
        let retry_after = Duration::from_millis(20);
        let status = grpc_status(&ProtocolError::Infer(InferError::Overloaded {
            retry_after,
        }));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.metadata().get(RETRY_PUSHBACK).unwrap(), "20");
    }

    #[test]
    fn a_permanent_error_has_no_time_to_retry() {
        let status = grpc_status(&ProtocolError::Lookup(LookupError::UnknownModel(
            "x".to_owned(),
        )));
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.metadata().is_empty());
    }
}
