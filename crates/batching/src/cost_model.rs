//! The cost of arriving requests: the time in which an otherwise idle pod would serve them in full batches.
//!
//! A pod has two limits. Its workers run one batch after another. Its CPUs, or the quota's share of them, are used by
//! the model and by the overhead of requests. The cost of a request is the higher of both:
//!
//! ```text
//! worker(n)    = (fixed / n + per_element · elements) / workers
//! cpu(n)    = (fixed / n + per_element · elements + overhead) / cpus
//! ```
//!
//! per row, in batches of `n` rows. Worker time is wall-clock time, CPU time is the time of the threads on CPUs:
//! within a quota, a batch that runs alone takes less wall-clock time than one among many, but the same CPU time.
//!
//! `n` is the batch size of a saturated pod. Batches grow while requests wait for workers. The growth ends at the
//! maximum batch size, or earlier if the model needs less CPU time than the overhead: requests then wait to be read,
//! not to be run. `n` is at least the present batch size.
//!
//! # Learning
//!
//! Costs are averaged by batch size, in powers of two, and a line is fitted through the sizes. At low load all batches
//! are small. If the costs of large batches decayed, as in [`crate::latency_model`], a lightly loaded pod would
//! underestimate its capacity: it would forget what full batches save.
//!
//! That is why there are two models. With decay this one fails its test of a lightly loaded pod. Without decay the
//! latency model fails its test of a computer that becomes slow, and one of the scheduler's overload tests.
//!
//! A line through small sizes says little about large ones, so warm-up runs of a full batch are valuable. Without
//! them, and with one size only, the whole time of a batch counts as its elements'. That overestimates the cost until
//! rising load brings other sizes.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::latency_model::{BatchLatency, clamp_outlier};

/// Number of size classes, powers of two. 2⁴⁰ elements of four bytes exceed any memory.
const SIZES: usize = 40;

/// Approximate number of batches of one size that count.
const REMEMBERED: u32 = 32;

/// Minimum cost, in seconds: less than the resolution of any clock here.
const MIN_SECONDS: f64 = 1e-9;

/// The cost of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchCost {
    /// Rows of the batch.
    pub rows: usize,
    /// Elements of the inputs of all rows.
    pub elements: usize,
    /// Wall-clock time.
    pub took: Duration,
    /// CPU time, over all CPUs.
    pub cpu_time: Duration,
}

impl BatchCost {
    /// The latency of the batch.
    #[must_use]
    pub const fn measured(&self) -> BatchLatency {
        BatchLatency {
            rows: self.rows,
            took: self.took,
        }
    }
}

/// The cost of a batch, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Line {
    /// Fixed cost.
    pub fixed: f64,
    /// Cost per element of the inputs.
    pub per_element: f64,
}

impl Line {
    /// Cost of a row with this number of elements, in batches of this number of rows, in seconds.
    fn of_row(&self, batch_rows: f64, elements: f64) -> f64 {
        self.fixed / batch_rows + self.per_element * elements
    }

    /// The line with the least squares of relative errors, with both terms at least zero.
    fn through(points: impl Iterator<Item = Point>) -> Self {
        let (mut uu, mut uv, mut vv, mut u_sum, mut v_sum) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let mut count = 0_u32;
        for Point {
            weight,
            elements,
            seconds,
        } in points
        {
            let seconds = seconds.max(MIN_SECONDS);
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

/// Mean costs of the batches of one size class.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    seen: u32,
    elements: f64,
    worker: f64,
    cpu: f64,
}

impl Size {
    fn ran(&mut self, elements: f64, took: f64, cpu_time: f64) {
        let bounded = |seconds: f64, usual: f64| match self.seen {
            0 => seconds,
            _ => clamp_outlier(seconds, usual),
        };
        let took = bounded(took, self.worker);
        let cpu_time = bounded(cpu_time, self.cpu);
        self.seen = (self.seen + 1).min(REMEMBERED);
        let part = 1.0 / f64::from(self.seen);
        self.elements += (elements - self.elements) * part;
        self.worker += (took - self.worker) * part;
        self.cpu += (cpu_time - self.cpu) * part;
    }

    fn point(&self, seconds: f64) -> Point {
        Point {
            weight: f64::from(self.seen),
            elements: self.elements,
            seconds,
        }
    }
}

/// The cost model of batches, learnt from measurements.
#[derive(Debug, Clone)]
pub struct CostModel {
    /// None if each batch is one request.
    max_rows: Option<f64>,
    sizes: [Size; SIZES],
    worker: Line,
    cpu: Line,
    /// Mean rows of recent batches. 0 before the first.
    batch_rows: f64,
    /// Work that arrived before the first measurement.
    unknown: Work,
}

/// The amount of work that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Work {
    requests: f64,
    rows: f64,
    elements: f64,
}

impl CostModel {
    /// Creates a model from earlier measurements, oldest first.
    #[must_use]
    pub fn new(max_rows: NonZeroUsize, before: &[BatchCost]) -> Self {
        let mut cost_model = Self {
            max_rows: Some(max_rows.get() as f64),
            sizes: [Size::default(); SIZES],
            worker: Line::default(),
            cpu: Line::default(),
            batch_rows: 0.0,
            unknown: Work::default(),
        };
        for ran in before {
            cost_model.ran(*ran);
        }
        // Warm-up runs aren't traffic.
        cost_model.batch_rows = 0.0;
        cost_model
    }

    /// From now on each batch is one request.
    pub const fn run_alone(&mut self) {
        self.max_rows = None;
    }

    /// Adds the cost of a completed batch.
    pub fn ran(&mut self, ran: BatchCost) {
        let size = ran.elements.max(1).ilog2() as usize;
        let Some(size) = self.sizes.get_mut(size) else {
            return;
        };
        let (elements, took) = (ran.elements as f64, ran.took.as_secs_f64());
        size.ran(elements, took, ran.cpu_time.as_secs_f64());
        let seen = || self.sizes.iter().filter(|size| size.seen > 0);
        self.worker = Line::through(seen().map(|size| size.point(size.worker)));
        self.cpu = Line::through(seen().map(|size| size.point(size.cpu)));
        let rows = ran.rows as f64;
        self.batch_rows = match self.batch_rows {
            0.0 => rows,
            before => before + (rows - before) / f64::from(REMEMBERED),
        };
    }

    /// Adds a cancelled batch: its cost would have been higher.
    pub fn stopped(&mut self, ran: BatchCost) {
        let expected = self.worker.of_row(1.0, ran.elements as f64);
        if ran.took.as_secs_f64() > expected {
            self.ran(ran);
        }
    }

    /// A request arrives, with this time until its deadline. None before the first measurement: the request is then
    /// added to a later one.
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
        // Half of a request's time is for the queue, as in the batcher.
        let in_time = (lifetime.as_secs_f64() / 2.0 - self.worker.fixed) / row.max(MIN_SECONDS);
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
            cpu: self.cpu,
        })
    }
}

/// Requests that arrived, and the cost of their batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    requests: f64,
    rows: f64,
    elements: f64,
    /// Present rows of a batch.
    batch_rows: f64,
    /// Maximum rows of a batch.
    full_rows: f64,
    worker: Line,
    cpu: Line,
}

/// The capacity of a pod.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodCapacity {
    /// Batches of the model that run concurrently.
    pub workers: NonZeroUsize,
    /// CPUs that the pod may use, with a fraction.
    pub cpus: f64,
    /// CPU seconds of a request's overhead: everything besides the model.
    pub overhead: f64,
}

impl Arrival {
    /// Rows of the requests.
    #[must_use]
    pub const fn rows(&self) -> f64 {
        self.rows
    }

    /// Time in which the pod would do the work, in seconds.
    #[must_use]
    pub fn takes(&self, pod: &PodCapacity) -> f64 {
        let elements = self.elements / self.rows;
        let overhead = pod.overhead * self.requests / self.rows;
        // Where the model needs as much CPU time as the overhead.
        let spare = overhead - self.cpu.per_element * elements;
        let balanced = if spare > 0.0 {
            self.cpu.fixed / spare
        } else {
            self.full_rows
        };
        let batch_rows = balanced.clamp(self.batch_rows, self.full_rows);
        let worker = self.worker.of_row(batch_rows, elements) / pod.workers.get() as f64;
        let cpu = self.cpu.of_row(batch_rows, elements) + overhead;
        self.rows * worker.max(cpu / pod.cpus.max(MIN_SECONDS))
    }
}

#[cfg(test)]
mod tests;
