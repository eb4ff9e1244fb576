//! Reads the bodies of requests within a size, a time and the memory for requests.

use axum::body::{Body, Bytes, HttpBody};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use crate::request_memory::{MemoryExhausted, RequestMemory, Reservation};

/// Size in bytes above which a body is parsed on a thread that may block, because other requests would wait for
/// it too long.
pub(crate) const LONG_BODY_BYTES: usize = 512 * 1024;

/// The error of a body that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The body is larger than allowed.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// Maximum bytes of a body.
        limit: usize,
    },
    /// The memory for requests is in use.
    #[error(transparent)]
    MemoryExhausted(#[from] MemoryExhausted),
    /// The client or the connection ended before the body.
    #[error("the body could not be read to its end")]
    Incomplete,
    /// The content doesn't match its Content-Encoding.
    #[error("the body doesn't match its content encoding: it is corrupt or truncated")]
    Corrupt,
    /// The deadline passed.
    #[error("the body did not arrive in time")]
    TooSlow,
}

/// The error of a body whose content doesn't match its Content-Encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body can't be decoded")]
pub struct Undecodable;

/// A body in memory.
#[derive(Debug)]
pub struct BufferedBody {
    /// All of its bytes.
    pub bytes: Bytes,
    /// Their memory. It is kept as long as the bytes, or the tensors that are made of them.
    pub reservation: Reservation,
}

/// Reads a body of at most `limit` bytes, and of at most the whole memory. A body whose Content-Length is
/// larger isn't read.
///
/// # Errors
/// [`ReadError`].
pub async fn read(
    memory: &RequestMemory,
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    deadline: Instant,
) -> Result<BufferedBody, ReadError> {
    let reading = collect(memory, headers, &mut body, limit.min(memory.total()));
    timeout_at(deadline, reading)
        .await
        .unwrap_or(Err(ReadError::TooSlow))
}

async fn collect(
    memory: &RequestMemory,
    headers: &HeaderMap,
    body: &mut Body,
    limit: usize,
) -> Result<BufferedBody, ReadError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(ReadError::TooLarge { limit });
    }
    let mut reservation = memory.empty_reservation();
    let mut bytes = Vec::new();
    while let Some(chunk) = next_chunk(body).await? {
        // A compressed body never waits for its client, so other tasks wouldn't run meanwhile.
        consume_budget().await;
        let length = bytes.len().saturating_add(chunk.len());
        if length > limit {
            return Err(ReadError::TooLarge { limit });
        }
        if bytes.is_empty() && body.is_end_stream() {
            reservation.grow(length)?;
            return Ok(BufferedBody {
                bytes: chunk,
                reservation,
            });
        }
        // The capacity at least doubles. Chunks of one byte each would otherwise take many times their size
        // if they were kept, and quadratic time if each were copied into a new buffer.
        if length > bytes.capacity() {
            let maximum = announced.unwrap_or(limit).max(length);
            let capacity = length.max(2 * bytes.capacity()).min(maximum);
            reservation.grow(capacity - bytes.capacity())?;
            bytes
                .try_reserve_exact(capacity - bytes.len())
                .map_err(|_no_memory| MemoryExhausted)?;
        }
        bytes.extend_from_slice(&chunk);
    }
    let bytes = bytes.into();
    Ok(BufferedBody { bytes, reservation })
}

/// The next data of a body. Trailers are ignored.
async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, ReadError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(read_error)?;
        if let Ok(chunk) = frame.into_data() {
            return Ok(Some(chunk));
        }
    }
    Ok(None)
}

/// The error of a body that failed before its end.
fn read_error(error: axum::Error) -> ReadError {
    if error.into_inner().is::<Undecodable>() {
        ReadError::Corrupt
    } else {
        ReadError::Incomplete
    }
}

#[cfg(test)]
mod tests;
