//! The latency of batches, learnt while they run.
//!
//! The model is `fixed + per_row · rows`: each run has a fixed cost and a cost per row. It is fitted by least squares
//! with both terms at least zero. Weights decay: each batch counts 31/32 of the next one. Means and co-moments are
//! updated in place, in West's form, which doesn't cancel (D. H. D. West, "Updating mean and variance estimates: an
//! improved method", CACM 22(9), 1979):
//!
//! ```text
//! w  ← w·λ + 1            δ ← x − x̄           x̄ ← x̄ + δ / w      ȳ ← ȳ + (y − ȳ) / w
//! Sxx ← Sxx·λ + δ·(x − x̄)                     Sxy ← Sxy·λ + δ·(y − ȳ)
//! per_row = Sxy / Sxx                         fixed = ȳ − per_row·x̄
//! ```
//!
//! Estimates decide about rejections, so too high an estimate does more harm than too low a one.
//! - There is an estimate from the first batch on: a queue that fills before any estimate holds requests that all
//!   exceed their deadlines. Before the fifth batch, no estimate exceeds the longest measured latency: two batches,
//!   one of them delayed, give a steep line.
//! - A batch that took more than four times its estimate counts as four times. One stall doesn't spoil the fit, and a
//!   computer that stays slow is followed within some dozen batches.
//! - A batch that took less than a quarter of its estimate reduces the weight of earlier batches, down to a sixteenth:
//!   too high an estimate falls within a few batches.
//! - A cancelled batch is a lower bound of its latency, and counts if it exceeds the estimate. If all batches exceed
//!   the deadlines of their requests, there is nothing else to learn from.
//!
//! The mean deviation from the estimate is averaged too, as TCP does for round trips (RFC 6298):
//! [`LatencyEstimate::upper_bound`] adds a margin for it.

use std::time::Duration;

/// Batches from which on estimates may exceed measured latencies.
const SETTLED: u32 = 5;

/// Weight of a batch relative to the next one. The last 32 batches then have 64 % of the weight.
const DECAY: f64 = 31.0 / 32.0;

/// Ratio of a latency to its estimate, or the reverse, from which on the batch is an outlier.
const OUTLIER_RATIO: f64 = 4.0;

/// Minimum weight that earlier batches keep after an unexpectedly short one.
const MIN_DECAY: f64 = 1.0 / 16.0;

/// Minimum latency of an outlier, in seconds. A shorter one may come from a thread that wasn't scheduled at once, and
/// an estimate of zero could never grow.
const MIN_OUTLIER_SECONDS: f64 = 0.001;

/// Minimum relative deviation of batch sizes that separates the two terms.
const MIN_DEVIATION: f64 = 0.125;

/// Number of mean deviations in the margin. Uniformly distributed latencies never deviate by more than two; of
/// normally distributed ones 0.8 % exceed three. Round trips vary more: RFC 6298 takes four.
const MARGIN: f64 = 3.0;

/// Weight of the newest batch in the mean deviation. It is less than RFC 6298's quarter, with which the deviation of
/// uniformly distributed latencies fluctuates by a factor of two.
const NEWEST_WEIGHT: f64 = 1.0 / 16.0;

/// Maximum latency, in seconds.
const MAX_SECONDS: f64 = 1e9;

/// The latency of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLatency {
    /// Rows of the batch.
    pub rows: usize,
    /// Time of the run.
    pub took: Duration,
}

/// The model of the latency of batches, learnt from measurements.
#[derive(Debug, Clone, Default)]
pub struct LatencyModel {
    batches: u32,
    weight: f64,
    mean_rows: f64,
    mean_seconds: f64,
    /// Weighted sum of the squared deviations of the rows from their mean.
    spread: f64,
    /// Weighted sum of the products of the deviations of rows and seconds.
    product: f64,
    /// The longest latency, with decay, in seconds.
    longest: f64,
    /// Mean relative deviation of latencies from their estimates.
    deviation: f64,
}

/// An estimate of the latency of batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyEstimate {
    model: Model,
    /// Maximum of any estimate, in seconds.
    longest: f64,
    deviation: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Model {
    /// Batches of different sizes were measured: the fixed cost and the cost per row, in seconds.
    Line { fixed: f64, per_row: f64 },
    /// All batches had about the same size, so the fixed cost is unknown: mean rows and mean seconds.
    Point { rows: f64, seconds: f64 },
}

/// Limits the weight of one stalled batch: `seconds`, at most `OUTLIER_RATIO` times the expected time.
pub(crate) fn clamp_outlier(seconds: f64, expected: f64) -> f64 {
    seconds.min((expected * OUTLIER_RATIO).max(MIN_OUTLIER_SECONDS))
}

impl LatencyModel {
    /// Adds the latency of a completed batch.
    pub fn observe(&mut self, batch: BatchLatency) {
        let (rows, mut seconds) = (batch.rows as f64, batch.took.as_secs_f64());
        if let Some(estimate) = self.estimate() {
            let (least, most) = estimate.of_one(rows);
            if self.batches >= SETTLED {
                seconds = clamp_outlier(seconds, most);
            }
            if seconds * OUTLIER_RATIO < least {
                self.forget((seconds / least).max(MIN_DECAY));
                self.longest = seconds;
            }
            let expected = seconds.clamp(least, most);
            let off = (seconds - expected).abs() / expected.max(MIN_OUTLIER_SECONDS);
            self.deviation += (off.min(1.0) - self.deviation) * NEWEST_WEIGHT;
        }
        self.forget(DECAY);
        self.weight += 1.0;
        self.batches = self.batches.saturating_add(1);
        self.longest = self.longest.max(seconds);
        let deviation = rows - self.mean_rows;
        self.mean_rows += deviation / self.weight;
        self.mean_seconds += (seconds - self.mean_seconds) / self.weight;
        self.spread += deviation * (rows - self.mean_rows);
        self.product += deviation * (seconds - self.mean_seconds);
    }

    /// Adds a cancelled batch: its latency would have been longer.
    pub fn observe_cancelled(&mut self, batch: BatchLatency) {
        if self
            .estimate()
            .is_none_or(|estimate| batch.took > estimate.minimum(1, batch.rows))
        {
            self.observe(batch);
        }
    }

    /// The estimate. None before the first batch.
    #[must_use]
    pub fn estimate(&self) -> Option<LatencyEstimate> {
        (self.batches > 0).then(|| LatencyEstimate {
            model: self.model(),
            longest: if self.batches < SETTLED {
                self.longest
            } else {
                f64::MAX
            },
            deviation: self.deviation,
        })
    }

    /// An estimate from at least two batches: the very first one may be exceptionally slow.
    #[must_use]
    pub fn confirmed_estimate(&self) -> Option<LatencyEstimate> {
        self.estimate().filter(|_| self.batches > 1)
    }

    fn model(&self) -> Model {
        let (rows, seconds) = (self.mean_rows, self.mean_seconds);
        if self.spread <= self.weight * (rows * MIN_DEVIATION).powi(2) {
            return Model::Point { rows, seconds };
        }
        let per_row = (self.product / self.spread).max(0.0);
        let fixed = seconds - per_row * rows;
        if fixed >= 0.0 {
            return Model::Line { fixed, per_row };
        }
        // The best line through the origin.
        let per_row = (self.product + self.weight * rows * seconds)
            / (self.spread + self.weight * rows * rows);
        let fixed = 0.0;
        Model::Line { fixed, per_row }
    }

    fn forget(&mut self, remembered: f64) {
        self.weight *= remembered;
        self.spread *= remembered;
        self.product *= remembered;
    }
}

impl LatencyEstimate {
    /// Minimum latency of this number of batches, with these rows in total, run one after another.
    #[must_use]
    pub fn minimum(&self, batches: usize, rows: usize) -> Duration {
        duration(self.seconds(batches as f64, rows as f64))
    }

    /// Latency that a batch almost never exceeds: the estimate plus three times the mean deviation, at most twice the
    /// estimate.
    #[must_use]
    pub fn upper_bound(&self, rows: usize) -> Duration {
        duration(self.seconds(1.0, rows as f64) * (1.0 + self.margin()))
    }

    /// The fixed cost and the cost per row, in seconds, if they are known.
    #[must_use]
    pub const fn line(&self) -> Option<(f64, f64)> {
        match self.model {
            Model::Line { fixed, per_row } => Some((fixed, per_row)),
            Model::Point { .. } => None,
        }
    }

    /// Maximum rows of a batch that completes within this time, up to `max`. Zero if not even one row does. With
    /// measurements of one size only, the latency is taken as a cost per row.
    #[must_use]
    pub fn rows_within(&self, time: Duration, max: usize) -> usize {
        let time = time.as_secs_f64() / (1.0 + self.margin());
        let takes = |rows: usize| match self.model {
            Model::Line { .. } => self.seconds(1.0, rows as f64),
            Model::Point { rows: of, seconds } => seconds * rows as f64 / of,
        };
        if takes(max) <= time {
            return max;
        }
        let (mut fit, mut over) = (0, max);
        while fit + 1 < over {
            let middle = usize::midpoint(fit, over);
            if takes(middle) <= time {
                fit = middle;
            } else {
                over = middle;
            }
        }
        fit
    }

    fn margin(&self) -> f64 {
        (MARGIN * self.deviation).min(1.0)
    }

    fn seconds(&self, batches: f64, rows: f64) -> f64 {
        let seconds = match self.model {
            Model::Line { fixed, per_row } => fixed * batches + per_row * rows,
            Model::Point { rows: of, seconds } => seconds * batches.min(rows / of),
        };
        seconds.min(self.longest * batches)
    }

    /// The minimum and the maximum latency of a batch, in seconds.
    fn of_one(&self, rows: f64) -> (f64, f64) {
        match self.model {
            Model::Line { fixed, per_row } => {
                let seconds = fixed + per_row * rows;
                (seconds.min(self.longest), seconds)
            }
            Model::Point { rows: of, seconds } => (
                seconds * (rows / of).min(1.0),
                seconds * (rows / of).max(1.0),
            ),
        }
    }
}

/// Seconds as a duration. Infinite, NaN and very long times become the maximum.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, MAX_SECONDS)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
