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
//! Estimates decide about refusing requests, so too high a one does more harm than too low a one.
//! - Something is said from the first batch on, since a queue that fills before anything is known
//!   holds requests that all run into their deadlines. Before the fifth, no batch is said to take
//!   longer than one that was measured: two batches, one of them held up, make a steep line.
//! - A batch that took more than four times what was expected counts as four times: one stall doesn't
//!   spoil the fit, and a machine that has become slow for good is followed within some dozen batches.
//! - A batch that took less than a quarter of what was expected makes what was learnt before count as
//!   much less, down to a sixteenth: too high a fit comes down within a few batches.
//! - A batch that was stopped has shown how long it takes at least, and counts where that is more
//!   than expected. Batches that run into the deadlines of all their requests would teach nothing
//!   else.
//!
//! How far batches are off what was expected is averaged too, as TCP does for round trips (RFC 6298):
//! [`LatencyEstimate::upper_bound`] leaves room for it.

use std::time::Duration;

/// Batches from which on the line is trusted beyond what was measured.
const SETTLED: u32 = 5;

/// What a batch counts, next to the one after it. The last 32 batches then hold 64 % of all weight.
const REMEMBERED: f64 = 31.0 / 32.0;

/// A batch that took this many times as long as expected, or as short, is a surprise.
const SURPRISE: f64 = 4.0;

/// The least that what was learnt counts after a batch that was surprisingly short.
const LEAST_REMEMBERED: f64 = 1.0 / 16.0;

/// Seconds that are never surprisingly long: below, a thread that was not scheduled at once looks
/// like a slow batch, and a fit of zero could never grow.
const NEVER_LONG: f64 = 0.001;

/// Batch sizes that deviate by less than this part of their mean don't tell the two terms apart.
const MIN_DEVIATION: f64 = 0.125;

/// Mean deviations that are left as room. Of evenly spread times none is off by more than two, of
/// normally spread ones 0.8 % are longer by more than three. Round trips vary more: RFC 6298 takes four.
const ROOM: f64 = 3.0;

/// What the newest batch counts in the mean deviation: less than RFC 6298's quarter, with which
/// evenly spread times look twice as spread in one moment as in another.
const NEWEST: f64 = 1.0 / 16.0;

/// Longest time that is told apart from for ever, in seconds.
const MAX_SECONDS: f64 = 1e9;

/// A batch that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLatency {
    /// Rows of the batch.
    pub rows: usize,
    /// Time that it took.
    pub took: Duration,
}

/// BatchLatency batches, summed up.
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
    /// Seconds of the longest batch, as far as it is remembered.
    longest: f64,
    /// How far batches are off what was expected, on average, as a part of that.
    deviation: f64,
}

/// What batches take, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyEstimate {
    model: Model,
    /// Seconds that no batch is said to exceed.
    longest: f64,
    deviation: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Model {
    /// Batches of different sizes were seen. Seconds that any batch takes, and that each row adds.
    Line { fixed: f64, per_row: f64 },
    /// All batches had about this size, which doesn't tell a batch's cost from its rows'. Rows and
    /// seconds of the batches, on average.
    Point { rows: f64, seconds: f64 },
}

impl LatencyModel {
    /// A batch ran to its end.
    pub fn observe(&mut self, batch: BatchLatency) {
        let (rows, mut seconds) = (batch.rows as f64, batch.took.as_secs_f64());
        if let Some(estimate) = self.estimate() {
            let (least, most) = estimate.of_one(rows);
            if self.batches >= SETTLED {
                seconds = seconds.min((most * SURPRISE).max(NEVER_LONG));
            }
            if seconds * SURPRISE < least {
                self.forget((seconds / least).max(LEAST_REMEMBERED));
                self.longest = seconds;
            }
            let expected = seconds.clamp(least, most);
            let off = (seconds - expected).abs() / expected.max(NEVER_LONG);
            self.deviation += (off.min(1.0) - self.deviation) * NEWEST;
        }
        self.forget(REMEMBERED);
        self.weight += 1.0;
        self.batches = self.batches.saturating_add(1);
        self.longest = self.longest.max(seconds);
        let deviation = rows - self.mean_rows;
        self.mean_rows += deviation / self.weight;
        self.mean_seconds += (seconds - self.mean_seconds) / self.weight;
        self.spread += deviation * (rows - self.mean_rows);
        self.product += deviation * (seconds - self.mean_seconds);
    }

    /// A batch was stopped after so long: it would have taken longer.
    pub fn observe_cancelled(&mut self, batch: BatchLatency) {
        if self
            .estimate()
            .is_none_or(|estimate| batch.took > estimate.minimum(1, batch.rows))
        {
            self.observe(batch);
        }
    }

    /// What is known; nothing before the first batch.
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

    /// What more than one batch has shown: the very first one may have been slow for once.
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
    /// The least that so many batches, with so many rows together, take one after another.
    #[must_use]
    pub fn minimum(&self, batches: usize, rows: usize) -> Duration {
        duration(self.seconds(batches as f64, rows as f64))
    }

    /// Time in which a batch with so many rows is almost always done: with room for three times
    /// the mean deviation, and at most for as much again.
    #[must_use]
    pub fn upper_bound(&self, rows: usize) -> Duration {
        duration(self.seconds(1.0, rows as f64) * (1.0 + self.room()))
    }

    /// Seconds that any batch takes, and that each row adds, where that is known.
    #[must_use]
    pub const fn line(&self) -> Option<(f64, f64)> {
        match self.model {
            Model::Line { fixed, per_row } => Some((fixed, per_row)),
            Model::Point { .. } => None,
        }
    }

    /// The most rows that one batch does safely in this time, up to `max`; zero where not even one is
    /// done. What is known of one size only is taken as a cost per row.
    #[must_use]
    pub fn rows_within(&self, time: Duration, max: usize) -> usize {
        let time = time.as_secs_f64() / (1.0 + self.room());
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

    fn room(&self) -> f64 {
        (ROOM * self.deviation).min(1.0)
    }

    fn seconds(&self, batches: f64, rows: f64) -> f64 {
        let seconds = match self.model {
            Model::Line { fixed, per_row } => fixed * batches + per_row * rows,
            Model::Point { rows: of, seconds } => seconds * batches.min(rows / of),
        };
        seconds.min(self.longest * batches)
    }

    /// The least and the most that a batch takes, in seconds.
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

/// Seconds as a duration; what isn't finite or is longer than anybody waits, as the longest.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, MAX_SECONDS)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
