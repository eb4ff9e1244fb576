//! How the memory of the process is shared out, from the limit of its container.

use std::num::NonZeroUsize;

use springtide_contract::defaults;

const MEBIBYTE: u64 = 1 << 20;

/// Part of the limit that is ever used, in percent. What is beyond absorbs what can't be counted.
const USABLE_PERCENT: u64 = 80;

/// What a connection may take that is counted nowhere else: over HTTP/2 256 KiB that aren't read yet, the
/// buffers of frames, and 100 streams that are about to end; over HTTP/1 a head of 64 KiB in a buffer that
/// has just grown.
const CONNECTION_BYTES: u64 = 384 * 1024;

/// Most of each, where there is memory for it or no limit.
const MOST_CONNECTIONS: u32 = defaults::MAX_CONNECTIONS;
const MOST_REQUESTS_BYTES: u64 = defaults::MAX_BODY_BYTES_IN_FLIGHT;
const MOST_REQUEST_BYTES: u64 = defaults::MAX_REQUEST_BYTES;

/// How the memory is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Most connections.
    pub connections: u64,
    /// Bytes for all requests together.
    pub requests_bytes: u64,
    /// Most bytes of one request.
    pub request_bytes: u64,
}

impl MemoryBudget {
    /// Before models are loaded: a quarter of the limit, 64 MiB at least, is left to them.
    #[must_use]
    pub fn before_models(limit: Option<u64>) -> Self {
        let Some(limit) = limit else {
            return Self {
                connections: MOST_CONNECTIONS.into(),
                requests_bytes: MOST_REQUESTS_BYTES,
                request_bytes: MOST_REQUEST_BYTES,
            };
        };
        let models = (limit / 4).max(64 * MEBIBYTE);
        let left = usable(limit).saturating_sub(models);
        let requests_bytes = requests(limit, left);
        let connections = left.saturating_sub(requests_bytes) / CONNECTION_BYTES;
        Self {
            connections: connections.clamp(16, MOST_CONNECTIONS.into()),
            requests_bytes,
            request_bytes: MOST_REQUEST_BYTES.min(requests_bytes / 2),
        }
    }

    /// Bytes for all requests together, where the process has so many bytes in memory with its models
    /// loaded and takes so many connections.
    #[must_use]
    pub fn after_models(limit: Option<u64>, resident: u64, connections: u64) -> u64 {
        let Some(limit) = limit else {
            return MOST_REQUESTS_BYTES;
        };
        let connections = connections.saturating_mul(CONNECTION_BYTES);
        let left = usable(limit)
            .saturating_sub(resident)
            .saturating_sub(connections);
        // Half: runs of the model take as much again for what they give.
        least(limit).max((left / 2).min(MOST_REQUESTS_BYTES))
    }
}

/// What the process has in memory beside its models, measured once, when they had been loaded: later, memory
/// that requests have used and that is kept for the next ones can't be told from that of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseMemory(u64);

impl BaseMemory {
    /// Where so many bytes are in memory, so many of them for models.
    #[must_use]
    pub const fn of(resident: u64, models: u64) -> Self {
        Self(resident.saturating_sub(models))
    }

    /// Bytes in memory with models of so many bytes.
    #[must_use]
    pub const fn with(self, models: u64) -> u64 {
        self.0.saturating_add(models)
    }
}

const fn usable(limit: u64) -> u64 {
    limit / 100 * USABLE_PERCENT
}

/// 40 % of what is left.
fn requests(limit: u64, left: u64) -> u64 {
    least(limit).max((left / 5 * 2).min(MOST_REQUESTS_BYTES))
}

/// Less would refuse what any client asks.
fn least(limit: u64) -> u64 {
    (limit / 32).max(MEBIBYTE)
}

/// A number of bytes or connections as the platform counts them.
#[must_use]
pub fn count(number: u64) -> NonZeroUsize {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_pod_by_default_has_what_a_machine_without_limit_has_but_for_connections() {
        let unlimited = MemoryBudget::before_models(None);
        let room = MemoryBudget::before_models(Some(2048 * MEBIBYTE));
        assert!((2200..2400).contains(&room.connections), "{room:?}");
        let connections = unlimited.connections;
        assert_eq!(
            MemoryBudget {
                connections,
                ..room
            },
            unlimited
        );
        let after =
            MemoryBudget::after_models(Some(2048 * MEBIBYTE), 100 * MEBIBYTE, room.connections);
        assert_eq!(after, MOST_REQUESTS_BYTES);
        assert_eq!(
            MemoryBudget::before_models(Some(4096 * MEBIBYTE)),
            unlimited
        );
    }

    #[test]
    fn a_small_pod_takes_fewer_connections_and_less_of_each_request() {
        let limit = 512 * MEBIBYTE;
        let room = MemoryBudget::before_models(Some(limit));
        assert!((400..500).contains(&room.connections), "{room:?}");
        assert!(room.requests_bytes > 100 * MEBIBYTE, "{room:?}");
        assert_eq!(room.request_bytes, room.requests_bytes / 2);
        let after = |resident| MemoryBudget::after_models(Some(limit), resident, room.connections);
        assert!((70..90).contains(&(after(80 * MEBIBYTE) / MEBIBYTE)));
        assert_eq!(after(limit), least(limit), "a model that fills the pod");
    }

    #[test]
    fn the_memory_for_requests_follows_each_model_that_is_loaded_or_unloaded() {
        let limit = 512 * MEBIBYTE;
        let beside = BaseMemory::of(80 * MEBIBYTE, 30 * MEBIBYTE);
        let with = |models: u64| {
            MemoryBudget::after_models(Some(limit), beside.with(models * MEBIBYTE), 450) / MEBIBYTE
        };
        let first = with(30);
        assert_eq!(with(30), first);
        assert_eq!(with(30 + 40), first - 20, "half of what is left");
        assert_eq!(with(0), first + 15);
        assert_eq!(with(limit), least(limit) / MEBIBYTE);
        assert_eq!(
            BaseMemory::of(1, 2).with(3),
            3,
            "never less than the models"
        );
    }

    #[test]
    fn all_together_stay_within_the_usable_part() {
        for mebibytes in [256, 512, 1024, 2048, 16_384] {
            let limit = mebibytes * MEBIBYTE;
            let MemoryBudget {
                connections,
                requests_bytes,
                ..
            } = MemoryBudget::before_models(Some(limit));
            let models = (limit / 4).max(64 * MEBIBYTE);
            let all = models + requests_bytes + connections * CONNECTION_BYTES;
            assert!(all <= usable(limit), "{mebibytes} MiB: {all}");
        }
    }
}
