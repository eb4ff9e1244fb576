//! Bodies of requests: read to their end within a size, a time and a share of the memory. Large
//! answers, which wait for their clients to take them, share it too.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

/// Bytes of a body from which on parsing it takes so long that other requests would wait for it: it
/// is then parsed on a thread that may block.
pub(crate) const LONG_BODY_BYTES: usize = 512 * 1024;

/// Most bytes of a refused body which are read to no purpose: to a client that is still sending, a
/// connection that is closed at once is reset before it has seen the answer.
const MAX_DISCARDED_BYTES: usize = 4 * 1024 * 1024;

/// Longest time for that.
const MAX_DISCARD_TIME: Duration = Duration::from_secs(1);

/// Most bytes of an answer that takes nothing from the budget: no more than a connection's own
/// buffers.
const SMALL_ANSWER_BYTES: usize = 16 * 1024;

/// Memory that the bodies of all requests share, and large answers with them. Clones share it too.
///
/// A body takes from it what it needs as it arrives, not what it announces: announcing is free, so
/// a few silent clients could else reserve everything. Nobody waits for memory, since whoever waits
/// holds some; a request without room is refused, to be tried again.
#[derive(Debug, Clone)]
pub struct BodyBudget {
    total: usize,
    free: Arc<AtomicUsize>,
}

/// There is no room for a body at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the memory for requests and answers is in use")]
pub struct NoRoom;

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
    NoRoom(#[from] NoRoom),
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
pub struct HeldBody {
    /// All of it.
    pub bytes: Bytes,
    /// Its part of the budget. Whoever keeps the bytes, or what was made of them, keeps this.
    pub held: Held,
}

/// A part of a [`BodyBudget`], given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    budget: BodyBudget,
    bytes: usize,
}

impl BodyBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(total: NonZeroUsize) -> Self {
        Self {
            total: total.get(),
            free: Arc::new(AtomicUsize::new(total.get())),
        }
    }

    /// A part that is empty, to be grown.
    #[must_use]
    pub fn hold(&self) -> Held {
        Held {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// A part for an answer of so many bytes, until its client has taken it; none for a small one.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn hold_answer(&self, bytes: usize) -> Result<Option<Held>, NoRoom> {
        if bytes <= SMALL_ANSWER_BYTES {
            return Ok(None);
        }
        let mut held = self.hold();
        held.grow(bytes)?;
        Ok(Some(held))
    }

    /// An answer with its part of the budget, which is given back with the last of its bytes.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn keep_answer(&self, bytes: Vec<u8>) -> Result<Bytes, NoRoom> {
        Ok(match self.hold_answer(bytes.len())? {
            Some(held) => Bytes::from_owner(KeptAnswer { bytes, _held: held }),
            None => bytes.into(),
        })
    }

    /// Reads a body of at most `limit` bytes, and never of more than the whole budget. One that
    /// announces more isn't read.
    ///
    /// Of a body that is refused while its client is still sending, some is discarded.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        limit: usize,
        deadline: Instant,
    ) -> Result<HeldBody, ReadError> {
        let reading = self.collect(headers, &mut body, limit.min(self.total));
        let read = timeout_at(deadline, reading)
            .await
            .unwrap_or(Err(ReadError::TooSlow));
        let refused = matches!(read, Err(ReadError::TooLarge { .. } | ReadError::NoRoom(_)));
        if refused {
            discard(headers, body).await;
        }
        read
    }

    async fn collect(
        &self,
        headers: &HeaderMap,
        body: &mut Body,
        limit: usize,
    ) -> Result<HeldBody, ReadError> {
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
            let length = bytes.len().saturating_add(chunk.len());
            if length > limit {
                return Err(ReadError::TooLarge { limit });
            }
            if bytes.is_empty() && body.is_end_stream() {
                held.grow(length)?;
                return Ok(HeldBody { bytes: chunk, held });
            }
            // In one piece, and by at least doubling: chunks of a byte each would take many times
            // their size, and copying them all again for each one many times their number.
            if length > bytes.capacity() {
                let most = announced.unwrap_or(limit).max(length);
                let capacity = length.max(2 * bytes.capacity()).min(most);
                held.grow(capacity - bytes.capacity())?;
                bytes
                    .try_reserve_exact(capacity - bytes.len())
                    .map_err(|_no_memory| NoRoom)?;
            }
            bytes.extend_from_slice(&chunk);
        }
        let bytes = bytes.into();
        Ok(HeldBody { bytes, held })
    }
}

struct KeptAnswer {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for KeptAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Held {
    /// Takes some more bytes.
    ///
    /// # Errors
    /// [`NoRoom`], and then nothing was taken.
    pub fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.budget
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                free.checked_sub(bytes)
            })
            .map_err(|_free| NoRoom)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back everything beyond so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.budget.free.fetch_add(surplus, Ordering::Relaxed);
    }
}

impl Drop for Held {
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

/// Reads a bounded part of a body that is refused, to no purpose but that its client, who is still
/// sending, sees the answer; unless it asks before it sends.
pub async fn discard(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let read = async {
        let mut left = MAX_DISCARDED_BYTES;
        while left > 0
            && let Ok(Some(chunk)) = next_chunk(&mut body).await
        {
            left = left.saturating_sub(chunk.len());
        }
    };
    let _too_slow = timeout(MAX_DISCARD_TIME, read).await;
}

#[cfg(test)]
mod tests;
