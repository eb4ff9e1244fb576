//! Scores from logits.

use crate::activation::Activation;

/// The scores of logits.
#[must_use]
pub(crate) fn scores(activation: Activation, logits: &[f32]) -> Vec<f32> {
    let mut scores = logits.to_vec();
    activation.apply(&mut scores);
    scores
}

/// The column of the largest logit, with its softmax. The first of several; None where there is no logit, or where one
/// isn't a number.
#[must_use]
pub(crate) fn best(logits: &[f32]) -> Option<(usize, f32)> {
    if logits.iter().any(|logit| logit.is_nan()) {
        return None;
    }
    let (mut column, mut maximum) = (0, *logits.first()?);
    for (index, logit) in logits.iter().enumerate() {
        if *logit > maximum {
            (column, maximum) = (index, *logit);
        }
    }
    let sum: f32 = logits.iter().map(|logit| (logit - maximum).exp()).sum();
    let score = 1.0 / sum;
    score.is_finite().then_some((column, score))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn extremes_have_sound_scores() {
        assert_eq!(
            scores(Activation::Softmax, &[f32::MAX, f32::MIN]),
            [1.0, 0.0]
        );
        assert_eq!(
            scores(Activation::Softmax, &[f32::NEG_INFINITY, 0.0]),
            [0.0, 1.0]
        );
        assert_eq!(
            scores(Activation::Sigmoid, &[f32::MAX, 0.0, f32::MIN]),
            [1.0, 0.5, 0.0]
        );
        assert_eq!(scores(Activation::Softmax, &[]), [0.0; 0]);
        for unsound in [f32::NAN, f32::INFINITY] {
            let scores = scores(Activation::Softmax, &[unsound, 0.0]);
            assert!(scores.iter().any(|score| !score.is_finite()));
            assert_eq!(best(&[0.0, unsound]), None);
        }
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[f32::NEG_INFINITY]), None);
        assert_eq!(best(&[2.0, 2.0]), Some((0, 0.5)));
    }

    proptest! {
        #[test]
        fn a_softmax_sums_to_one_and_has_the_best_score(
            logits in prop::collection::vec(-1e3_f32..1e3, 1..20)
        ) {
            let scores = scores(Activation::Softmax, &logits);
            let sum: f32 = scores.iter().sum();
            prop_assert!((sum - 1.0).abs() < 1e-5, "{sum}");
            let (column, score) = best(&logits).unwrap();
            prop_assert!(scores.iter().all(|other| *other <= scores[column]));
            prop_assert!((scores[column] - score).abs() < 1e-6);
        }
    }
}
