//! What a gRPC client is told when its request has no answer.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::body::ReadError;
use crate::v2::ProtocolError;

/// Trailer that tells after how many milliseconds to try again:
/// <https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback>.
const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// A refusal as gRPC tells it.
pub(crate) fn grpc_status(refusal: &ProtocolError) -> Status {
    let mut status = Status::new(refusal.code(), refusal.message());
    if let Some(wait) = refusal.retry_after() {
        // A client that tries again at once would be refused again.
        let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let value = MetadataValue::from(milliseconds);
        status.metadata_mut().insert(RETRY_PUSHBACK, value);
    }
    status
}

/// How tonic begins its word of a message that can't be decompressed.
const NOT_DECOMPRESSED: &str = "Error decompressing";

/// A status, unless it blames the server for a message that its client compressed badly.
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
    fn overload_tells_when_to_try_again() {
        let retry_after = Duration::from_millis(20);
        let status = grpc_status(&ProtocolError::Infer(InferError::Overloaded {
            retry_after,
        }));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.metadata().get(RETRY_PUSHBACK).unwrap(), "20");
    }

    #[test]
    fn what_will_not_get_better_tells_nothing_of_it() {
        let status = grpc_status(&ProtocolError::Lookup(LookupError::UnknownModel(
            "x".to_owned(),
        )));
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.metadata().is_empty());
    }
}
