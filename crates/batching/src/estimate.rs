//! What a batch takes, learnt while batches run.
//!
//! The model is `fixed + per_row · rows`: a run has a cost of its own and one for each row. It is
//! fitted by least squares with both terms at least zero, over weights that forget: each batch
//! counts 31/32 of the one after it. Means and co-moments are updated in place, in West's form,
//! which doesn't cancel (D. H. D. West, "Updating mean and variance estimates: an improved method",
//! CACM 22(9), 1979):
//!
//! ```text
//! w  ← w·λ + 1            δ ← x − x̄           x̄ ← x̄ + δ / w      ȳ ← ȳ + (y − ȳ) / w
//! Sxx ← Sxx·λ + δ·(x − x̄)                     Sxy ← Sxy·λ + δ·(y − ȳ)
//! per_row = Sxy / Sxx                         fixed = ȳ − per_row·x̄
//! ```
//!
//! Estimates decide about refusing requests, so too high a one does more harm than too low a one. A
//! batch that took more than four times what was expected counts as four times: one stall doesn't
//! spoil the fit, and a machine that has become slow for good is followed within some dozen batches.
//! A batch that took less than a quarter of what was expected makes what was learnt before count a
//! quarter: too high a fit comes down within a few batches.

use std::time::Duration;

/// Batches that have to be measured before anything is said.
const MIN_BATCHES: u32 = 5;

/// What a batch counts, next to the one after it. The last 32 batches then hold 64 % of all weight.
const REMEMBERED: f64 = 31.0 / 32.0;

/// A batch that took this many times as long as expected, or as short, is a surprise.
const SURPRISE: f64 = 4.0;

/// Seconds that are never surprisingly long: below, a thread that was not scheduled at once looks
/// like a slow batch, and a fit of zero could never grow.
const NEVER_LONG: f64 = 0.001;

/// Batch sizes that deviate by less than this part of their mean don't tell the two terms apart.
const MIN_DEVIATION: f64 = 0.125;

/// Longest time that is told apart from for ever, in seconds.
const MAX_SECONDS: f64 = 1e9;

/// Measured batches, summed up.
#[derive(Debug, Clone, Default)]
pub struct BatchTime {
    batches: u32,
    weight: f64,
    mean_rows: f64,
    mean_seconds: f64,
    /// Weighted sum of the squared deviations of the rows from their mean.
    spread: f64,
    /// Weighted sum of the products of the deviations of rows and seconds.
    product: f64,
}

/// What batches take, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fit {
    /// Batches of different sizes were seen.
    Line {
        /// Seconds that any batch takes.
        fixed: f64,
        /// Seconds that each row adds.
        per_row: f64,
    },
    /// All batches had about this size, which doesn't tell a batch's cost from its rows'.
    Point {
        /// Rows of the batches, on average.
        rows: f64,
        /// Seconds that they took, on average.
        seconds: f64,
    },
}

impl BatchTime {
    /// A batch with so many rows took so long.
    pub fn measure(&mut self, rows: usize, took: Duration) {
        let (rows, mut seconds) = (rows as f64, took.as_secs_f64());
        if let Some(fit) = self.fit() {
            seconds = seconds.min((fit.most(rows) * SURPRISE).max(NEVER_LONG));
            if seconds * SURPRISE < fit.least_of_one(rows) {
                self.forget(1.0 / SURPRISE);
            }
        }
        self.forget(REMEMBERED);
        self.weight += 1.0;
        self.batches = self.batches.saturating_add(1);
        let deviation = rows - self.mean_rows;
        self.mean_rows += deviation / self.weight;
        self.mean_seconds += (seconds - self.mean_seconds) / self.weight;
        self.spread += deviation * (rows - self.mean_rows);
        self.product += deviation * (seconds - self.mean_seconds);
    }

    /// What is known; nothing before the fifth batch.
    #[must_use]
    pub fn fit(&self) -> Option<Fit> {
        if self.batches < MIN_BATCHES {
            return None;
        }
        let (rows, seconds) = (self.mean_rows, self.mean_seconds);
        if self.spread <= self.weight * (rows * MIN_DEVIATION).powi(2) {
            return Some(Fit::Point { rows, seconds });
        }
        let per_row = (self.product / self.spread).max(0.0);
        let fixed = seconds - per_row * rows;
        if fixed >= 0.0 {
            return Some(Fit::Line { fixed, per_row });
        }
        // The best line through the origin.
        let per_row = (self.product + self.weight * rows * seconds)
            / (self.spread + self.weight * rows * rows);
        let fixed = 0.0;
        Some(Fit::Line { fixed, per_row })
    }

    fn forget(&mut self, remembered: f64) {
        self.weight *= remembered;
        self.spread *= remembered;
        self.product *= remembered;
    }
}

impl Fit {
    /// The least that so many batches, with so many rows together, take one after another.
    #[must_use]
    pub fn least(&self, batches: usize, rows: usize) -> Duration {
        let (batches, rows) = (batches as f64, rows as f64);
        duration(match *self {
            Self::Line { fixed, per_row } => fixed * batches + per_row * rows,
            Self::Point { rows: of, seconds } => seconds * batches.min(rows / of),
        })
    }

    fn least_of_one(&self, rows: f64) -> f64 {
        match *self {
            Self::Line { fixed, per_row } => fixed + per_row * rows,
            Self::Point { rows: of, seconds } => seconds * (rows / of).min(1.0),
        }
    }

    /// The most that a batch takes, in seconds.
    fn most(&self, rows: f64) -> f64 {
        match *self {
            Self::Line { fixed, per_row } => fixed + per_row * rows,
            Self::Point { rows: of, seconds } => seconds * (rows / of).max(1.0),
        }
    }
}

/// Seconds as a duration; what isn't finite or is longer than anybody waits, as the longest.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, MAX_SECONDS)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
