//! The memory for requests: heads, bodies, tensors, and responses until their clients have taken them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;

/// The memory that all requests share, in bytes. Clones share it too.
///
/// A body reserves what it needs as it arrives, not what its Content-Length announces, or a few silent clients
/// could reserve everything. No request waits for memory, because each holds some. A request that finds none is
/// rejected, and its client tries again.
#[derive(Debug, Clone)]
pub struct RequestMemory(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    total: AtomicUsize,
    used: AtomicUsize,
}

/// Not enough of the memory for requests is free at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the memory for requests and responses is in use")]
pub struct MemoryExhausted;

/// Marks a response whose body has its reservation already.
#[derive(Debug, Clone, Copy)]
pub struct AlreadyCharged;

/// A part of a [`RequestMemory`]. It is free again when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    memory: RequestMemory,
    bytes: usize,
}

impl RequestMemory {
    /// A memory of `total` bytes.
    #[must_use]
    pub fn new(total: NonZeroUsize) -> Self {
        Self(Arc::new(Counts {
            total: AtomicUsize::new(total.get()),
            used: AtomicUsize::new(0),
        }))
    }

    /// Sets its size in bytes. Existing reservations stay.
    pub fn resize(&self, total: NonZeroUsize) {
        self.0.total.store(total.get(), Ordering::Relaxed);
    }

    /// Its size in bytes, reserved or not.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.total.load(Ordering::Relaxed)
    }

    /// Its bytes that are reserved.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// A reservation of no bytes, which can grow.
    #[must_use]
    pub fn empty_reservation(&self) -> Reservation {
        Reservation {
            memory: self.clone(),
            bytes: 0,
        }
    }

    /// Reserves `bytes`.
    ///
    /// # Errors
    /// [`MemoryExhausted`].
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, MemoryExhausted> {
        let mut reservation = self.empty_reservation();
        reservation.grow(bytes)?;
        Ok(reservation)
    }
}

/// Bytes with their reservation.
struct Reserved {
    bytes: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Reserved {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Reservation {
    /// Its size in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// [`MemoryExhausted`], and then it is unchanged.
    pub fn grow(&mut self, bytes: usize) -> Result<(), MemoryExhausted> {
        let Counts { total, used } = &*self.memory.0;
        let total = total.load(Ordering::Relaxed);
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= total)
        })
        .map_err(|_used| MemoryExhausted)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Grows or shrinks to `bytes`.
    ///
    /// # Errors
    /// [`MemoryExhausted`], and then it is unchanged.
    pub fn resize(&mut self, bytes: usize) -> Result<(), MemoryExhausted> {
        self.shrink_to(bytes);
        self.grow(bytes - self.bytes)
    }

    /// Splits off a reservation of `bytes`, or of all if it is smaller.
    #[must_use = "it is free again when it is dropped"]
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            memory: self.memory.clone(),
            bytes,
        }
    }

    /// Attaches it to bytes, which keep it until the last clone of them is dropped.
    #[must_use]
    pub fn attach(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Reserved {
            bytes,
            _reservation: self,
        })
    }

    /// Frees everything beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.memory.0.used.fetch_sub(surplus, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(total: usize) -> RequestMemory {
        RequestMemory::new(NonZeroUsize::new(total).unwrap())
    }

    fn free(memory: &RequestMemory) -> usize {
        memory.total() - memory.used()
    }

    #[test]
    fn a_reservation_grows_and_shrinks() {
        let memory = memory(10);
        let mut reservation = memory.empty_reservation();
        reservation.grow(8).unwrap();
        assert_eq!(reservation.grow(3), Err(MemoryExhausted));
        assert_eq!(free(&memory), 2, "a failure reserves nothing");
        reservation.shrink_to(3);
        assert_eq!(free(&memory), 7);
        reservation.shrink_to(5);
        assert_eq!(free(&memory), 7, "shrinking never grows");
        drop(reservation);
        assert_eq!(free(&memory), 10);
    }

    #[test]
    fn bytes_keep_their_reservation_until_the_last_of_them_is_dropped() {
        let memory = memory(100_000);
        let mut reservation = memory.reserve(60_000).unwrap();
        assert_eq!(memory.reserve(60_000).unwrap_err(), MemoryExhausted);
        let mut large = reservation.split(50_000).attach(vec![7; 50_000].into());
        drop(reservation);
        assert_eq!(free(&memory), 50_000);
        let piece = large.split_to(10);
        drop(large);
        assert_eq!(free(&memory), 50_000);
        assert_eq!(piece, vec![7; 10]);
        drop(piece);
        assert_eq!(free(&memory), 100_000);
    }

    #[test]
    fn a_split_reserves_nothing_more() {
        let memory = memory(10);
        let mut reservation = memory.reserve(8).unwrap();
        let all = reservation.split(100);
        assert_eq!(free(&memory), 2);
        drop(reservation);
        assert_eq!(free(&memory), 2);
        drop(all);
        assert_eq!(free(&memory), 10);
    }

    #[test]
    fn a_smaller_memory_is_exhausted_until_enough_is_free() {
        let memory = memory(10);
        let mut reservation = memory.reserve(8).unwrap();
        memory.resize(NonZeroUsize::new(6).unwrap());
        assert_eq!(memory.reserve(1).unwrap_err(), MemoryExhausted);
        reservation.resize(5).unwrap();
        assert!(memory.reserve(1).is_ok());
        assert_eq!(reservation.resize(7), Err(MemoryExhausted));
    }
}
