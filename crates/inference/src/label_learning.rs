//! Trial runs from which a classifier learns the columns of its labels.

use std::num::NonZeroUsize;

use crate::backend::Backend;
use crate::cancel::CancelHandle;
use crate::classifier::Classifier;
use crate::element::ElementType;
use crate::signature::{Dimension, Signature};
use crate::tensor::Tensor;

/// Scales of consecutive rows. The range of the features is unknown, and similar rows would have the same label.
const SCALES: [f32; 4] = [0.1, 1.0, 10.0, 100.0];

/// Minimum number of rows. A few aren't sufficient: the label of a row may not be that of its highest probability.
const ROWS: usize = 32;

/// Source of rows for trial runs: a row by its number, with one tensor for each required input.
pub type RowByNumber<'a> = &'a dyn Fn(usize) -> Option<Vec<Tensor>>;

/// Runs generated rows in batches of `batch_rows`, and lets the classifier learn its labels from them. The rows are
/// the same at each start. A run that fails is ignored.
///
/// A model with one input of 32-bit floats runs random numbers of several scales. Others run the rows of `row`.
pub fn learn_labels(
    backend: &mut dyn Backend,
    classifier: &mut Classifier,
    batch_rows: NonZeroUsize,
    row: RowByNumber<'_>,
) {
    if !classifier.learns_labels() {
        return;
    }
    let count = batch_rows.get().max(ROWS);
    let rows = random_rows(backend.signature(), count)
        .unwrap_or_else(|| (0..count).map_while(row).collect());
    for batch in rows.chunks(batch_rows.get()) {
        let inputs = (0..batch.first().map_or(0, Vec::len)).map(|input| {
            let tensors: Option<Vec<&Tensor>> = batch.iter().map(|row| row.get(input)).collect();
            Tensor::stack(&tensors?)
        });
        let (Some(inputs), Some(rows)) = (
            inputs.collect::<Option<Vec<_>>>(),
            NonZeroUsize::new(batch.len()),
        ) else {
            return;
        };
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        match backend.run(&inputs, &CancelHandle::new()) {
            Ok(outputs) => {
                let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
                classifier.learn(&views, rows);
            }
            Err(error) => {
                tracing::debug!(%error, "a trial run to learn the labels failed");
                return;
            }
        }
    }
}

/// Rows of random numbers. None if the model has other inputs than one of 32-bit floats.
fn random_rows(signature: &Signature, count: usize) -> Option<Vec<Vec<Tensor>>> {
    let mut inputs = signature.required_inputs();
    let (Some(input), None) = (inputs.next(), inputs.next()) else {
        return None;
    };
    let (Some(ElementType::F32), Some(&[Dimension::Any, Dimension::Fixed(features)])) =
        (input.element(), input.shape.as_deref())
    else {
        return None;
    };
    let mut random = fastrand::Rng::with_seed(7);
    let row = |scale: f32| {
        let numbers: Vec<f32> = (0..features)
            .map(|_| scale * (2.0 * random.f32() - 1.0))
            .collect();
        Some(vec![Tensor::new(vec![1, features], numbers).ok()?])
    };
    SCALES.into_iter().cycle().take(count).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::RunError;
    use crate::classifier::Class;
    use crate::data::DataView;
    use crate::signature::Port;

    /// Label 1 where its probability is above a tuned threshold of 0.2.
    struct Tuned {
        signature: Signature,
        sizes: Vec<usize>,
    }

    impl Tuned {
        fn new() -> Self {
            let (any, two) = (Dimension::Any, Dimension::Fixed(2));
            Self {
                signature: Signature {
                    inputs: vec![Port::tensor("x", ElementType::F32, [any, two])],
                    outputs: vec![
                        Port::tensor("label", ElementType::I64, [any]),
                        Port::tensor("probabilities", ElementType::F32, [any, two]),
                    ],
                },
                sizes: Vec::new(),
            }
        }
    }

    impl Backend for Tuned {
        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn run(&mut self, inputs: &[&Tensor], _: &CancelHandle) -> Result<Vec<Tensor>, RunError> {
            let DataView::F32(numbers) = inputs[0].view().data() else {
                panic!("not floats")
            };
            let ones: Vec<f32> = numbers
                .chunks(2)
                .map(|row| 1.0 / (1.0 + (0.4 - row[0] - row[1]).exp()))
                .collect();
            self.sizes.push(ones.len());
            let labels: Vec<i64> = ones.iter().map(|one| i64::from(*one > 0.2)).collect();
            let both: Vec<f32> = ones.iter().flat_map(|one| [1.0 - one, *one]).collect();
            Ok(vec![
                Tensor::new(vec![labels.len()], labels).unwrap(),
                Tensor::new(vec![ones.len(), 2], both).unwrap(),
            ])
        }
    }

    #[test]
    fn as_much_is_learned_from_rows_that_run_alone() {
        let row = |numbers: [f32; 2]| Tensor::new(vec![1, 2], numbers.to_vec()).unwrap();
        for (batch_rows, runs) in [(1, 32), (5, 7), (32, 1), (64, 1)] {
            let batch_rows = NonZeroUsize::new(batch_rows).unwrap();
            let mut backend = Tuned::new();
            let mut classifier = Classifier::new(&backend.signature).unwrap();
            learn_labels(&mut backend, &mut classifier, batch_rows, &|_| None);
            assert_eq!(backend.sizes.len(), runs);
            assert!(backend.sizes.iter().all(|rows| *rows <= batch_rows.get()));
            let outputs = backend
                .run(&[&row([5.0, 5.0])], &CancelHandle::new())
                .unwrap();
            let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
            let predictions = classifier.predictions(&views, NonZeroUsize::MIN).unwrap();
            assert_eq!(predictions[0].class, Class::Number(1));
            assert!(predictions[0].confidence.is_some_and(|it| it > 0.9));
        }
    }
}
