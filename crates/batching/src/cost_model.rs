//! What arriving work is worth: the time in which a pod would do it, if it did nothing else and ran
//! full batches.
//!
//! Two things bound what a pod does. Its workers run one batch after another, and its processors, or
//! the part of them that a quota leaves, are shared by the model and by all that is done for a
//! request overhead. A request's time is the longer of both:
//!
//! ```text
//! worker(n)    = (fixed / n + per_element · elements) / workers
//! processor(n) = (fixed / n + per_element · elements + overhead) / processors
//! ```
//!
//! for each row, in batches of `n` rows. A worker's time is measured by the clock, a processor's by
//! what the threads were on it: a batch that runs alone within a quota is done sooner by the clock than
//! one among many, and takes the same from the quota.
//!
//! `n` is what batches would have if the pod were full. They grow while requests wait for workers. That
//! ends where the largest batch is reached, and before, where the model takes less of the processors
//! than the rest: then requests wait to be read, not to be run. Smaller than they are now batches
//! don't become.
//!
//! # CostModel
//!
//! What a batch costs is remembered by its size, in powers of two, and a line is laid through the sizes
//! that were seen. At low load all batches are small. If what large ones took were forgotten then,
//! as [`crate::latency_model`] forgets, a pod that is hardly busy would take itself for small: what full
//! batches save would not be known. A line through nothing but small sizes says little about
//! large ones; so trial runs of a full batch are worth much, and without them or any other size all
//! of a batch's time counts as its elements'. That is too much rather than too little, and rising load
//! brings the sizes that show better.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::latency_model::BatchLatency;

/// Sizes are told apart by their power of two. 2⁴⁰ elements of four bytes fill any memory.
const SIZES: usize = 40;

/// Batches of one size that are remembered, about.
const REMEMBERED: u32 = 32;

/// A batch that took this many times as long as others of its size is taken for one that was held up,
/// and counts as this many times.
const SURPRISE: f64 = 4.0;

/// Seconds that are never surprisingly long: below, a thread that was not scheduled at once looks
/// like a slow batch.
const NEVER_LONG: f64 = 0.001;

/// Seconds below which costs aren't told apart: less than any clock here tells.
const LEAST: f64 = 1e-9;

/// A batch that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchCost {
    /// Rows of the batch.
    pub rows: usize,
    /// Elements of the inputs of all rows.
    pub elements: usize,
    /// Time that it took.
    pub took: Duration,
    /// Time that processors worked on it, on all together.
    pub processor_time: Duration,
}

impl BatchCost {
    /// What it shows of the time that batches take.
    #[must_use]
    pub const fn measured(&self) -> BatchLatency {
        BatchLatency {
            rows: self.rows,
            took: self.took,
        }
    }
}

/// What a batch cost_model, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Line {
    /// Of any batch.
    pub fixed: f64,
    /// Of each element of its inputs.
    pub per_element: f64,
}

impl Line {
    /// Seconds for each row with so many elements, in batches of so many rows.
    fn of_row(&self, batch_rows: f64, elements: f64) -> f64 {
        self.fixed / batch_rows + self.per_element * elements
    }

    /// The line that is off least, as a part of what was measured, with both terms at least zero.
    fn through(points: impl Iterator<Item = Point>) -> Self {
        let (mut uu, mut uv, mut vv, mut u_sum, mut v_sum) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let mut count = 0_u32;
        for Point {
            weight,
            elements,
            seconds,
        } in points
        {
            let seconds = seconds.max(LEAST);
            let (u, v) = (1.0 / seconds, elements / seconds);
            uu += weight * u * u;
            uv += weight * u * v;
            vv += weight * v * v;
            u_sum += weight * u;
            v_sum += weight * v;
            count += 1;
        }
        if count == 0 {
            return Self::default();
        }
        let all_elements = Self {
            fixed: 0.0,
            per_element: v_sum / vv,
        };
        let determinant = uu * vv - uv * uv;
        if count == 1 || determinant <= f64::EPSILON * uu * vv {
            return all_elements;
        }
        let fixed = (u_sum * vv - v_sum * uv) / determinant;
        let per_element = (v_sum * uu - u_sum * uv) / determinant;
        if fixed < 0.0 {
            return all_elements;
        }
        if per_element < 0.0 {
            return Self {
                fixed: u_sum / uu,
                per_element: 0.0,
            };
        }
        Self { fixed, per_element }
    }
}

struct Point {
    weight: f64,
    elements: f64,
    seconds: f64,
}

/// The batches of about one size, on average.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    seen: u32,
    elements: f64,
    worker: f64,
    processor: f64,
}

impl Size {
    fn ran(&mut self, elements: f64, took: f64, processor_time: f64) {
        let bounded = |seconds: f64, usual: f64| match self.seen {
            0 => seconds,
            _ => seconds.min((usual * SURPRISE).max(NEVER_LONG)),
        };
        let took = bounded(took, self.worker);
        let processor_time = bounded(processor_time, self.processor);
        self.seen = (self.seen + 1).min(REMEMBERED);
        let part = 1.0 / f64::from(self.seen);
        self.elements += (elements - self.elements) * part;
        self.worker += (took - self.worker) * part;
        self.processor += (processor_time - self.processor) * part;
    }

    fn point(&self, seconds: f64) -> Point {
        Point {
            weight: f64::from(self.seen),
            elements: self.elements,
            seconds,
        }
    }
}

/// What batches cost, learnt while they run.
#[derive(Debug, Clone)]
pub struct CostModel {
    /// None where each batch is one request.
    max_rows: Option<f64>,
    sizes: [Size; SIZES],
    worker: Line,
    processor: Line,
    /// Rows of the batches of late, on average. 0 before the first.
    batch_rows: f64,
    /// Arrived before anything was known.
    unknown: Work,
}

/// Work that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Work {
    requests: f64,
    rows: f64,
    elements: f64,
}

impl CostModel {
    /// Nothing is known but what ran before, oldest first.
    #[must_use]
    pub fn new(max_rows: NonZeroUsize, before: &[BatchCost]) -> Self {
        let mut cost_model = Self {
            max_rows: Some(max_rows.get() as f64),
            sizes: [Size::default(); SIZES],
            worker: Line::default(),
            processor: Line::default(),
            batch_rows: 0.0,
            unknown: Work::default(),
        };
        for ran in before {
            cost_model.ran(*ran);
        }
        // Trial runs are no traffic.
        cost_model.batch_rows = 0.0;
        cost_model
    }

    /// From now on each batch is one request, whatever its rows.
    pub const fn run_alone(&mut self) {
        self.max_rows = None;
    }

    /// A batch ran to its end.
    pub fn ran(&mut self, ran: BatchCost) {
        let size = ran.elements.max(1).ilog2() as usize;
        let Some(size) = self.sizes.get_mut(size) else {
            return;
        };
        let (elements, took) = (ran.elements as f64, ran.took.as_secs_f64());
        size.ran(elements, took, ran.processor_time.as_secs_f64());
        let seen = || self.sizes.iter().filter(|size| size.seen > 0);
        self.worker = Line::through(seen().map(|size| size.point(size.worker)));
        self.processor = Line::through(seen().map(|size| size.point(size.processor)));
        let rows = ran.rows as f64;
        self.batch_rows = match self.batch_rows {
            0.0 => rows,
            before => before + (rows - before) / f64::from(REMEMBERED),
        };
    }

    /// A batch was stopped: it would have taken longer.
    pub fn stopped(&mut self, ran: BatchCost) {
        let expected = self.worker.of_row(1.0, ran.elements as f64);
        if ran.took.as_secs_f64() > expected {
            self.ran(ran);
        }
    }

    /// A request arrives, with so much time. None before anything is known: it then comes along with
    /// one that arrives later.
    pub fn arrives(
        &mut self,
        rows: NonZeroUsize,
        elements: usize,
        lifetime: Duration,
    ) -> Option<Arrival> {
        let unknown = &mut self.unknown;
        unknown.requests += 1.0;
        unknown.rows += rows.get() as f64;
        unknown.elements += elements as f64;
        if self.sizes.iter().all(|size| size.seen == 0) {
            return None;
        }
        let Work {
            requests,
            rows,
            elements,
        } = std::mem::take(unknown);
        let row = self.worker.per_element * elements / rows;
        // As the batcher bounds its batches: half of a request's time goes by in the queue.
        let in_time = (lifetime.as_secs_f64() / 2.0 - self.worker.fixed) / row.max(LEAST);
        let own = rows / requests;
        let (least, full_rows) = self.max_rows.map_or((own, own), |max| {
            let least = own.min(max);
            (least, in_time.clamp(least, max))
        });
        Some(Arrival {
            requests,
            rows,
            elements,
            batch_rows: self.batch_rows.clamp(least, full_rows),
            full_rows,
            worker: self.worker,
            processor: self.processor,
        })
    }
}

/// Requests that arrived, and what is known about batches of such.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    requests: f64,
    rows: f64,
    elements: f64,
    /// Rows of a batch now.
    batch_rows: f64,
    /// Most rows of a batch.
    full_rows: f64,
    worker: Line,
    processor: Line,
}

/// What a pod has for its work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodCapacity {
    /// Batches of the model that run at the same time.
    pub workers: NonZeroUsize,
    /// Processors, or parts of them, that the pod may keep busy.
    pub processors: f64,
    /// Seconds that a request takes of a processor overhead the model.
    pub overhead: f64,
}

impl Arrival {
    /// Rows of the requests.
    #[must_use]
    pub const fn rows(&self) -> f64 {
        self.rows
    }

    /// Seconds in which the pod would do the work.
    #[must_use]
    pub fn takes(&self, pod: &PodCapacity) -> f64 {
        let elements = self.elements / self.rows;
        let overhead = pod.overhead * self.requests / self.rows;
        // Where the model takes as much of the processors as the rest.
        let spare = overhead - self.processor.per_element * elements;
        let balanced = if spare > 0.0 {
            self.processor.fixed / spare
        } else {
            self.full_rows
        };
        let batch_rows = balanced.clamp(self.batch_rows, self.full_rows);
        let worker = self.worker.of_row(batch_rows, elements) / pod.workers.get() as f64;
        let processor = self.processor.of_row(batch_rows, elements) + overhead;
        self.rows * worker.max(processor / pod.processors.max(LEAST))
    }
}

#[cfg(test)]
mod tests;
