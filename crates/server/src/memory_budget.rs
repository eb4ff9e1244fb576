//! Divides the memory limit of the container among models, connections and requests.

use springtide_contract::defaults;

const MEBIBYTE: u64 = 1 << 20;

/// Percentage of the limit that is allocated. The rest is for memory that can't be counted.
const USABLE_PERCENT: u64 = 80;

/// Maximum bytes of a connection that aren't counted elsewhere. Over HTTP/2: 256 KiB that aren't read yet, the
/// buffers of frames, and 100 streams that are ending. Over HTTP/1: a head of 64 KiB in a buffer that has just
/// grown.
const CONNECTION_BYTES: u64 = 384 * 1024;

/// The values without a memory limit, and the maximum values with one.
const MAX_CONNECTIONS: u32 = defaults::MAX_CONNECTIONS;
const MAX_REQUESTS_BYTES: u64 = defaults::MAX_BODY_BYTES_IN_FLIGHT;
const MAX_REQUEST_BYTES: u64 = defaults::MAX_REQUEST_BYTES;

/// The parts of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Maximum concurrent connections.
    pub connections: u64,
    /// Bytes of all requests together.
    pub requests_bytes: u64,
    /// Maximum bytes of one request.
    pub request_bytes: u64,
}

impl MemoryBudget {
    /// The parts before models are loaded. `limit` is the memory limit in bytes. A quarter of it, at least 64 MiB, is
    /// reserved for models.
    #[must_use]
    pub fn before_models(limit: Option<u64>) -> Self {
        let Some(limit) = limit else {
            return Self {
                connections: MAX_CONNECTIONS.into(),
                requests_bytes: MAX_REQUESTS_BYTES,
                request_bytes: MAX_REQUEST_BYTES,
            };
        };
        let models = (limit / 4).max(64 * MEBIBYTE);
        let left = usable(limit).saturating_sub(models);
        let requests_bytes = requests_bytes(limit, left);
        let connections = left.saturating_sub(requests_bytes) / CONNECTION_BYTES;
        Self {
            connections: connections.clamp(16, MAX_CONNECTIONS.into()),
            requests_bytes,
            request_bytes: MAX_REQUEST_BYTES.min(requests_bytes / 2),
        }
    }

    /// Bytes of all requests together after models are loaded. `resident` is the memory of the process in bytes with
    /// its models, and `connections` the maximum concurrent connections.
    #[must_use]
    pub fn after_models(limit: Option<u64>, resident: u64, connections: u64) -> u64 {
        let Some(limit) = limit else {
            return MAX_REQUESTS_BYTES;
        };
        let connections = connections.saturating_mul(CONNECTION_BYTES);
        let left = usable(limit)
            .saturating_sub(resident)
            .saturating_sub(connections);
        // Half of the rest, because runs of a model need as much again for their outputs.
        minimum_requests_bytes(limit).max((left / 2).min(MAX_REQUESTS_BYTES))
    }
}

/// The memory of the process without its models. It is measured once, when they have been loaded. Later, memory that
/// requests have used and the allocator keeps can't be distinguished from that of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseMemory(u64);

impl BaseMemory {
    /// The rest of `resident` bytes, of which `models` belong to models.
    #[must_use]
    pub const fn of(resident: u64, models: u64) -> Self {
        Self(resident.saturating_sub(models))
    }

    /// Resident bytes with models of `models` bytes.
    #[must_use]
    pub const fn with(self, models: u64) -> u64 {
        self.0.saturating_add(models)
    }
}

const fn usable(limit: u64) -> u64 {
    limit / 100 * USABLE_PERCENT
}

/// Bytes of all requests: 40 % of the rest.
fn requests_bytes(limit: u64, left: u64) -> u64 {
    minimum_requests_bytes(limit).max((left / 5 * 2).min(MAX_REQUESTS_BYTES))
}

/// Minimum bytes of all requests: with less, ordinary requests would be rejected.
fn minimum_requests_bytes(limit: u64) -> u64 {
    (limit / 32).max(MEBIBYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_default_pod_differs_from_no_limit_in_its_connections_only() {
        let unlimited = MemoryBudget::before_models(None);
        let budget = MemoryBudget::before_models(Some(2048 * MEBIBYTE));
        assert!((2200..2400).contains(&budget.connections), "{budget:?}");
        let connections = unlimited.connections;
        assert_eq!(
            MemoryBudget {
                connections,
                ..budget
            },
            unlimited
        );
        let after =
            MemoryBudget::after_models(Some(2048 * MEBIBYTE), 100 * MEBIBYTE, budget.connections);
        assert_eq!(after, MAX_REQUESTS_BYTES);
        assert_eq!(
            MemoryBudget::before_models(Some(4096 * MEBIBYTE)),
            unlimited
        );
    }

    #[test]
    fn a_small_pod_has_fewer_connections_and_smaller_requests() {
        let limit = 512 * MEBIBYTE;
        let budget = MemoryBudget::before_models(Some(limit));
        assert!((400..500).contains(&budget.connections), "{budget:?}");
        assert!(budget.requests_bytes > 100 * MEBIBYTE, "{budget:?}");
        assert_eq!(budget.request_bytes, budget.requests_bytes / 2);
        let after =
            |resident| MemoryBudget::after_models(Some(limit), resident, budget.connections);
        assert!((70..90).contains(&(after(80 * MEBIBYTE) / MEBIBYTE)));
        assert_eq!(
            after(limit),
            minimum_requests_bytes(limit),
            "a model that fills the pod"
        );
    }

    #[test]
    fn the_memory_for_requests_depends_on_the_models_that_are_loaded() {
        let limit = 512 * MEBIBYTE;
        let base = BaseMemory::of(80 * MEBIBYTE, 30 * MEBIBYTE);
        let with = |models: u64| {
            MemoryBudget::after_models(Some(limit), base.with(models * MEBIBYTE), 450) / MEBIBYTE
        };
        let first = with(30);
        assert_eq!(with(30), first);
        assert_eq!(with(30 + 40), first - 20, "half of what is left");
        assert_eq!(with(0), first + 15);
        assert_eq!(with(limit), minimum_requests_bytes(limit) / MEBIBYTE);
        assert_eq!(
            BaseMemory::of(1, 2).with(3),
            3,
            "at least the memory of the models"
        );
    }

    #[test]
    fn all_parts_together_stay_within_the_usable_part() {
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
