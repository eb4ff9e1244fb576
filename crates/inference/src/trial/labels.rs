//! Which of a classifier's probabilities is that of which label.

use std::num::NonZeroUsize;

use crate::backend::Backend;
use crate::classifier::Classifier;
use crate::stop::Stop;
use crate::tensor::Tensor;

/// Sizes of the numbers in rows that follow each other: what features are like isn't known, and rows
/// alike would have the same label.
const SCALES: [f32; 4] = [0.1, 1.0, 10.0, 100.0];

/// Runs rows of random numbers, the same at each start, and has the classifier learn its labels from
/// them. A run that fails shows nothing.
pub fn learn_labels(backend: &mut dyn Backend, classifier: &mut Classifier, rows: NonZeroUsize) {
    if !classifier.learns() {
        return;
    }
    let features = classifier.features().get();
    let mut random = fastrand::Rng::with_seed(7);
    let numbers: Vec<f32> = SCALES
        .into_iter()
        .cycle()
        .take(rows.get())
        .flat_map(|scale| {
            let row: Vec<f32> = (0..features)
                .map(|_| scale * (2.0 * random.f32() - 1.0))
                .collect();
            row
        })
        .collect();
    let Ok(input) = Tensor::new(vec![rows.get(), features], numbers) else {
        return;
    };
    match backend.run(&[&input], &Stop::new()) {
        Ok(outputs) => {
            let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
            classifier.learn(&views, rows);
        }
        Err(error) => tracing::debug!(%error, "a trial run to learn the labels failed"),
    }
}
