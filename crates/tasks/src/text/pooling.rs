//! Pooling: one embedding from the embeddings of a text's tokens.

/// A way to pool, as sentence-transformers names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolingMode {
    /// The first token.
    Cls,
    /// Maximum of each dimension.
    Max,
    /// Mean.
    Mean,
    /// Sum, divided by the square root of the number of tokens.
    MeanSqrtLength,
    /// Mean with the weights 1, 2, 3, …
    WeightedMean,
    /// The last token.
    LastToken,
}

impl PoolingMode {
    /// Each mode with its name in `pooling_mode` and with its key in older files, in the order in which
    /// sentence-transformers concatenates several.
    pub(crate) const NAMES: [(Self, &'static str, &'static str); 6] = [
        (Self::Cls, "cls", "pooling_mode_cls_token"),
        (Self::Max, "max", "pooling_mode_max_tokens"),
        (Self::Mean, "mean", "pooling_mode_mean_tokens"),
        (
            Self::MeanSqrtLength,
            "mean_sqrt_len_tokens",
            "pooling_mode_mean_sqrt_len_tokens",
        ),
        (
            Self::WeightedMean,
            "weightedmean",
            "pooling_mode_weightedmean_tokens",
        ),
        (Self::LastToken, "lasttoken", "pooling_mode_lasttoken"),
    ];

    /// The mode of a name in `pooling_mode`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut modes = Self::NAMES.into_iter();
        modes.find_map(|(mode, its_name, _)| (its_name == name).then_some(mode))
    }
}

/// The embedding of a text: the results of the modes, concatenated. `tokens` has `width` numbers for each token,
/// without those of padding. Zeros where there is no token.
#[must_use]
pub fn pool(modes: &[PoolingMode], tokens: &[f32], width: usize) -> Vec<f32> {
    let mut pooled = Vec::with_capacity(modes.len() * width);
    for mode in modes {
        pool_one(*mode, tokens, width, &mut pooled);
    }
    pooled
}

fn pool_one(mode: PoolingMode, tokens: &[f32], width: usize, pooled: &mut Vec<f32>) {
    if width == 0 {
        return;
    }
    let mut rows = tokens.chunks_exact(width);
    let count = rows.len();
    let weighted = |weight: fn(usize) -> f64, divisor: f64| {
        let mut sums = vec![0_f64; width];
        for (index, row) in tokens.chunks_exact(width).enumerate() {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += f64::from(*value) * weight(index);
            }
        }
        sums.into_iter().map(move |sum| (sum / divisor) as f32)
    };
    match (mode, count) {
        (_, 0) => pooled.extend(std::iter::repeat_n(0.0, width)),
        (PoolingMode::Cls, _) => pooled.extend(rows.next().into_iter().flatten()),
        (PoolingMode::LastToken, _) => pooled.extend(rows.next_back().into_iter().flatten()),
        (PoolingMode::Max, _) => {
            let mut maxima = vec![f32::NEG_INFINITY; width];
            for row in rows {
                for (maximum, value) in maxima.iter_mut().zip(row) {
                    // `f32::max` would drop a NaN, and the embedding would look sound.
                    if *value > *maximum || value.is_nan() {
                        *maximum = *value;
                    }
                }
            }
            pooled.extend(maxima);
        }
        (PoolingMode::Mean, count) => pooled.extend(weighted(|_| 1.0, count as f64)),
        (PoolingMode::MeanSqrtLength, count) => {
            pooled.extend(weighted(|_| 1.0, (count as f64).sqrt()));
        }
        (PoolingMode::WeightedMean, count) => {
            let count = count as f64;
            pooled.extend(weighted(
                |index| index as f64 + 1.0,
                count * (count + 1.0) / 2.0,
            ));
        }
    }
}

/// Maximum deviation of a normalized embedding's length from 1: rounding of 16-bit floats.
const UNIT_TOLERANCE: f64 = 1e-3;

/// Scales an embedding to length 1. Leaves zeros, and an embedding that the model has normalized itself.
pub fn normalize(embedding: &mut [f32]) {
    let squares = embedding.iter().map(|value| f64::from(*value).powi(2));
    let length = squares.sum::<f64>().sqrt();
    if length == 0.0 || (length - 1.0).abs() <= UNIT_TOLERANCE {
        return;
    }
    for value in embedding {
        *value = (f64::from(*value) / length) as f32;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_mode_pools_two_tokens() {
        let tokens = [1.0, -4.0, 3.0, 2.0];
        for (mode, expected) in [
            (PoolingMode::Cls, [1.0, -4.0]),
            (PoolingMode::Max, [3.0, 2.0]),
            (PoolingMode::Mean, [2.0, -1.0]),
            (
                PoolingMode::MeanSqrtLength,
                [4.0 / 2_f32.sqrt(), -2.0 / 2_f32.sqrt()],
            ),
            (PoolingMode::WeightedMean, [7.0 / 3.0, 0.0]),
            (PoolingMode::LastToken, [3.0, 2.0]),
        ] {
            assert_eq!(pool(&[mode], &tokens, 2), expected, "{mode:?}");
        }
        assert_eq!(
            pool(&[PoolingMode::Cls, PoolingMode::Max], &tokens, 2),
            [1.0, -4.0, 3.0, 2.0]
        );
        assert_eq!(pool(&[PoolingMode::Max], &[], 2), [0.0, 0.0]);
        assert_eq!(pool(&[PoolingMode::Max], &[], 0), [0.0; 0]);
    }

    #[test]
    fn a_maximum_does_not_hide_what_is_not_a_number() {
        for tokens in [[f32::NAN, 1.0], [1.0, f32::NAN]] {
            assert!(pool(&[PoolingMode::Max], &tokens, 1)[0].is_nan());
        }
    }

    #[test]
    fn a_normalized_embedding_stays_as_it_is() {
        let mut embedding = [0.6, 0.8001];
        normalize(&mut embedding);
        assert_eq!(embedding, [0.6, 0.8001]);
        let mut zeros = [0.0; 3];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0; 3]);
    }

    proptest! {
        #[test]
        fn a_normalized_embedding_has_length_one(
            mut embedding in prop::collection::vec(-1e30_f32..1e30, 1..50)
        ) {
            prop_assume!(embedding.iter().any(|value| value.abs() > 1e-3));
            normalize(&mut embedding);
            let length = embedding.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            prop_assert!((length - 1.0).abs() <= UNIT_TOLERANCE, "{length}");
        }
    }
}
