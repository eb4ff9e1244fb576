//! Pseudo-random numbers for simulations in tests.

/// Deterministic pseudo-random numbers: Knuth's linear congruential generator (MMIX).
pub(crate) struct RandomSequence(pub(crate) u64);

impl RandomSequence {
    /// Uniformly distributed between 0 and 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
