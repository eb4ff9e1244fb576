//! Bounds of values that both a ModelService and a flag of the server set. Both ends are included.

use std::ops::RangeInclusive;

/// Rows in one batch.
pub const MAX_BATCH_ROWS: RangeInclusive<i64> = 1..=4_096;

/// Time that a request waits for its batch to fill, in milliseconds.
pub const MAX_WAIT_MILLISECONDS: RangeInclusive<i64> = 0..=60_000;

/// Rows in the queue.
pub const MAX_QUEUE_ROWS: RangeInclusive<i64> = 1..=1_000_000;

/// The request timeout, in milliseconds.
pub const REQUEST_TIMEOUT_MILLISECONDS: RangeInclusive<i64> = 1..=600_000;

/// The latency objective, in milliseconds. 0 turns it off.
pub const LATENCY_OBJECTIVE_MILLISECONDS: RangeInclusive<i64> = 0..=600_000;

/// Inference threads.
pub const WORKERS: RangeInclusive<i64> = 1..=256;
