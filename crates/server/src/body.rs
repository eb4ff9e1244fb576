//! Memory for what clients send and are sent: the bodies of requests, which are read to their end within
//! a size, a time and a share of it, their heads, what is made of them, and answers until their clients
//! have taken them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes, HttpBody};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

/// Bytes of a body from which on parsing it takes so long that other requests would wait for it: it
/// is then parsed on a thread that may block.
pub(crate) const LONG_BODY_BYTES: usize = 512 * 1024;

/// Memory that all requests share: heads, bodies, tensors and answers. Clones share it too.
///
/// A body takes from it what it needs as it arrives, not what it announces: announcing is free, so
/// a few silent clients could else reserve everything. Nobody waits for memory, since whoever waits
/// holds some; a request without room is refused, to be tried again.
#[derive(Debug, Clone)]
pub struct RequestMemory(Arc<Shares>);

#[derive(Debug)]
struct Shares {
    total: AtomicUsize,
    used: AtomicUsize,
}

/// There is no room for a body at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the memory for requests and answers is in use")]
pub struct MemoryExhausted;

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The body is larger than allowed.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// Most bytes of a body.
        limit: usize,
    },
    /// The server is overloaded.
    #[error(transparent)]
    MemoryExhausted(#[from] MemoryExhausted),
    /// The client or the connection broke off.
    #[error("the body could not be read to its end")]
    Incomplete,
    /// The body isn't encoded as it says.
    #[error("the body can't be decoded as its encoding says: it is corrupt or cut off")]
    Corrupt,
    /// The deadline passed first.
    #[error("the body did not arrive in time")]
    TooSlow,
}

/// The error of a body that can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body can't be decoded")]
pub struct Undecodable;

/// A body in memory.
#[derive(Debug)]
pub struct BufferedBody {
    /// All of it.
    pub bytes: Bytes,
    /// Its part of the budget. Whoever keeps the bytes, or what was made of them, keeps this.
    pub held: Reservation,
}

/// What marks an answer whose body has its part of the budget already.
#[derive(Debug, Clone, Copy)]
pub struct AlreadyCharged;

/// A part of a [`RequestMemory`], given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: RequestMemory,
    bytes: usize,
}

impl RequestMemory {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(total: NonZeroUsize) -> Self {
        Self(Arc::new(Shares {
            total: AtomicUsize::new(total.get()),
            used: AtomicUsize::new(0),
        }))
    }

    /// Makes it so many bytes. What is held already stays so.
    pub fn resize(&self, total: NonZeroUsize) {
        self.0.total.store(total.get(), Ordering::Relaxed);
    }

    /// All of its bytes, held or not.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.total.load(Ordering::Relaxed)
    }

    /// A part that is empty, to be grown.
    #[must_use]
    pub fn hold(&self) -> Reservation {
        Reservation {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// Its bytes that are held.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// A part of so many bytes.
    ///
    /// # Errors
    /// [`MemoryExhausted`].
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, MemoryExhausted> {
        let mut held = self.hold();
        held.grow(bytes)?;
        Ok(held)
    }

    /// Reads a body of at most `limit` bytes, and never of more than the whole budget. One that
    /// announces more isn't read.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        limit: usize,
        deadline: Instant,
    ) -> Result<BufferedBody, ReadError> {
        let reading = self.collect(headers, &mut body, limit.min(self.total()));
        timeout_at(deadline, reading)
            .await
            .unwrap_or(Err(ReadError::TooSlow))
    }

    async fn collect(
        &self,
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
        let mut held = self.hold();
        let mut bytes = Vec::new();
        while let Some(chunk) = next_chunk(body).await? {
            // What a compressed body becomes is always there, however much it is, and others wait meanwhile.
            consume_budget().await;
            let length = bytes.len().saturating_add(chunk.len());
            if length > limit {
                return Err(ReadError::TooLarge { limit });
            }
            if bytes.is_empty() && body.is_end_stream() {
                held.grow(length)?;
                return Ok(BufferedBody { bytes: chunk, held });
            }
            // In one piece, and by at least doubling: chunks of a byte each would take many times
            // their size, and copying them all again for each one many times their number.
            if length > bytes.capacity() {
                let most = announced.unwrap_or(limit).max(length);
                let capacity = length.max(2 * bytes.capacity()).min(most);
                held.grow(capacity - bytes.capacity())?;
                bytes
                    .try_reserve_exact(capacity - bytes.len())
                    .map_err(|_no_memory| MemoryExhausted)?;
            }
            bytes.extend_from_slice(&chunk);
        }
        let bytes = bytes.into();
        Ok(BufferedBody { bytes, held })
    }
}

/// Bytes with their part of a budget.
struct Kept {
    bytes: Bytes,
    _held: Reservation,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Reservation {
    /// How many bytes it is.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes some more bytes.
    ///
    /// # Errors
    /// [`MemoryExhausted`], and then nothing was taken.
    pub fn grow(&mut self, bytes: usize) -> Result<(), MemoryExhausted> {
        let Shares { total, used } = &*self.budget.0;
        let total = total.load(Ordering::Relaxed);
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= total)
        })
        .map_err(|_used| MemoryExhausted)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes or gives back as much as it needs to be so many bytes.
    ///
    /// # Errors
    /// [`MemoryExhausted`], and then nothing was taken.
    pub fn resize(&mut self, bytes: usize) -> Result<(), MemoryExhausted> {
        self.shrink_to(bytes);
        self.grow(bytes - self.bytes)
    }

    /// A part for so many of its bytes, or for all where it has fewer.
    #[must_use = "it is given back when it is dropped"]
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            budget: self.budget.clone(),
            bytes,
        }
    }

    /// Bytes that keep this until the last of them is dropped.
    #[must_use]
    pub fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Kept { bytes, _held: self })
    }

    /// Gives back everything beyond so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.budget.0.used.fetch_sub(surplus, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// The next data of a body; trailers mean nothing to us.
async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, ReadError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(broken)?;
        if let Ok(chunk) = frame.into_data() {
            return Ok(Some(chunk));
        }
    }
    Ok(None)
}

/// Why a body has no further part.
fn broken(error: axum::Error) -> ReadError {
    if error.into_inner().is::<Undecodable>() {
        ReadError::Corrupt
    } else {
        ReadError::Incomplete
    }
}

#[cfg(test)]
mod tests;
