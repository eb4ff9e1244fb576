//! The first runs of a model: they warm it up and show how it may be served.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use springtide_batching::Ran;
use springtide_inference::trial::{check_rows, inputs, rows_are_independent};
use springtide_inference::{
    Backend, Classifier, Dimension, RunError, Signature, Stop, Tensor, UnsupportedModel,
};

use super::request::elements;
use crate::processors::time_of_this_thread;

/// A run that takes no longer may be repeated: the start is hardly later for it.
const CHEAP: Duration = Duration::from_millis(20);

/// What the first runs have shown.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) signature: Signature,
    /// Whether the requests of several clients may run as one.
    pub(super) batches: bool,
    pub(super) classifier: Result<Classifier, UnsupportedModel>,
    /// The runs, in their order.
    runs: Vec<Ran>,
}

/// Runs one row and a full batch of zeros, so that the first requests don't pay for memory that is
/// allocated and kernels that are chosen on first use, and checks what comes out.
///
/// # Errors
/// When the model fails on zeros of a shape that it declares. Where the shape had to be made up, a
/// failure shows nothing.
pub(super) fn trial(backend: &mut dyn Backend, max_rows: NonZeroUsize) -> Result<Trial, RunError> {
    let signature = backend.signature().clone();
    let mut trial = Trial {
        batches: signature.batches(),
        classifier: Classifier::new(&signature),
        signature,
        runs: Vec::new(),
    };
    let mut sizes = vec![NonZeroUsize::MIN];
    if trial.batches && max_rows > NonZeroUsize::MIN {
        sizes.push(max_rows);
    }
    for rows in sizes {
        let Some(zeros) = inputs(&trial.signature, rows) else {
            tracing::info!(
                rows,
                "no trial run: nothing can be made up for the model's inputs"
            );
            break;
        };
        match run(backend, &zeros, rows) {
            Ok((outputs, ran)) => {
                trial.runs.push(ran);
                trial.learn(&outputs, rows);
            }
            Err(error) if is_made_up(&trial.signature) => {
                tracing::info!(rows, %error, "a trial run with made-up lengths failed");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(trial)
}

/// The outputs of a run, and what it cost: of processors, this thread's part.
fn run(
    backend: &mut dyn Backend,
    tensors: &[Tensor],
    rows: NonZeroUsize,
) -> Result<(Vec<Tensor>, Ran), RunError> {
    let inputs: Vec<&Tensor> = tensors.iter().collect();
    let (began, processor_time) = (Instant::now(), time_of_this_thread());
    let outputs = backend.run(&inputs, &Stop::new())?;
    let ran = Ran {
        rows: rows.get(),
        elements: elements(tensors),
        took: began.elapsed(),
        processor_time: time_of_this_thread().saturating_sub(processor_time),
    };
    Ok((outputs, ran))
}

/// Whether a run of the trial is worth repeating, to measure it without what only first runs pay.
fn is_worth_repeating(took: Duration, trial: Duration) -> bool {
    took <= CHEAP.max(trial / 10)
}

impl Trial {
    /// What batches cost, where the trial's are like those that will come: no length was made up.
    /// Cheap runs are repeated, as the first at a size allocates; of the others, the very first of
    /// all doesn't count.
    pub(super) fn measure(&self, backend: &mut dyn Backend, threads: NonZeroUsize) -> Vec<Ran> {
        if is_made_up(&self.signature) || self.batches != self.signature.batches() {
            return Vec::new();
        }
        let trial = self.runs.iter().map(|run| run.took).sum();
        let measure = |(index, first): (usize, &Ran)| {
            if !is_worth_repeating(first.took, trial) {
                return (index > 0).then_some(*first);
            }
            let rows = NonZeroUsize::new(first.rows)?;
            let zeros = inputs(&self.signature, rows)?;
            run(backend, &zeros, rows).ok().map(|(_, ran)| ran)
        };
        let threads = u32::try_from(threads.get()).unwrap_or(u32::MAX);
        let of_all_threads = |ran: Ran| Ran {
            processor_time: ran.processor_time.saturating_mul(threads),
            ..ran
        };
        let measured = self.runs.iter().enumerate().filter_map(measure);
        measured.map(of_all_threads).collect()
    }

    /// Keeps requests apart where the first dimension, though free, is no batch.
    pub(super) fn compare_rows(&mut self, backend: &mut dyn Backend) {
        if self.batches && rows_are_independent(backend) == Some(false) {
            tracing::info!("requests run one by one: a row's outputs depend on the rows beside it");
            self.batches = false;
        }
    }

    fn learn(&mut self, outputs: &[Tensor], rows: NonZeroUsize) {
        if self.batches
            && let Err(reason) = check_rows(&self.signature, outputs, rows)
        {
            tracing::info!(%reason, "requests run one by one");
            self.batches = false;
        }
        if let Ok(classifier) = &self.classifier {
            let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
            if let Err(reason) = classifier.check(&views, rows) {
                self.classifier = Err(reason);
            }
        }
    }
}

/// Whether a trial's shape says nothing about the shapes that the model takes. A batching model
/// takes any number of rows; other free dimensions may have to agree with each other.
fn is_made_up(signature: &Signature) -> bool {
    let rows = usize::from(signature.batches());
    signature
        .inputs
        .iter()
        .flat_map(|port| port.shape.iter().flatten().skip(rows))
        .any(|dimension| *dimension == Dimension::Any)
}

#[cfg(test)]
mod tests {
    use springtide_inference::{DataView, ElementType, Port};

    use super::*;
    use crate::models::testing::{FakeBackend, classifier_signature};

    const FULL: NonZeroUsize = NonZeroUsize::new(32).unwrap();

    #[test]
    fn one_row_and_a_full_batch_run() {
        let mut backend = FakeBackend::classifier();
        let trial = trial(&mut backend, FULL).unwrap();
        assert_eq!(backend.rows(), [1, 32]);
        assert!(trial.batches);
        assert_eq!(trial.classifier.unwrap().features().get(), 2);
    }

    #[test]
    fn cheap_runs_are_repeated_and_measured() {
        let mut backend = FakeBackend::classifier();
        let trial = trial(&mut backend, FULL).unwrap();
        let measured = trial.measure(&mut backend, NonZeroUsize::MIN);
        assert_eq!(backend.rows(), [1, 32, 1, 32]);
        let rows: Vec<_> = measured.iter().map(|batch| batch.rows).collect();
        assert_eq!(rows, [1, 32]);
    }

    #[test]
    fn slow_runs_are_not_repeated_and_the_very_first_is_not_counted() {
        let mut backend = FakeBackend::classifier();
        let mut trial = trial(&mut backend, FULL).unwrap();
        for (index, milliseconds) in [(0, 400), (1, 2_000)] {
            trial.runs[index].took = Duration::from_millis(milliseconds);
        }
        assert_eq!(
            trial.measure(&mut backend, NonZeroUsize::MIN),
            trial.runs[1..]
        );
        assert_eq!(backend.rows(), [1, 32]);
        trial.runs[0].took = Duration::from_millis(200);
        assert_eq!(trial.measure(&mut backend, NonZeroUsize::MIN).len(), 2);
        assert_eq!(backend.rows(), [1, 32, 1], "a tenth of the trial");
    }

    #[test]
    fn nothing_is_measured_where_a_length_was_made_up_or_rows_are_not_apart() {
        let mut signature = classifier_signature();
        signature.inputs = vec![Port::tensor(
            "tokens",
            ElementType::F32,
            [Dimension::Any, Dimension::Any],
        )];
        let mut backend = FakeBackend::with_signature(signature);
        let trial_of = |backend: &mut FakeBackend| trial(backend, FULL).unwrap();
        assert_eq!(
            trial_of(&mut backend).measure(&mut backend, NonZeroUsize::MIN),
            []
        );
        let mut backend = FakeBackend::classifier().with_fixed_rows(1);
        assert_eq!(
            trial_of(&mut backend).measure(&mut backend, NonZeroUsize::MIN),
            []
        );
    }

    #[test]
    fn a_model_that_declares_rows_and_gives_others_runs_requests_one_by_one() {
        let mut backend = FakeBackend::classifier().with_fixed_rows(1);
        let trial = trial(&mut backend, FULL).unwrap();
        assert!(!trial.batches);
        assert!(trial.classifier.is_err());
    }

    /// Adds up along the first dimension.
    struct RunningSum(Signature);

    impl Backend for RunningSum {
        fn signature(&self) -> &Signature {
            &self.0
        }

        fn run(&mut self, inputs: &[&Tensor], _: &Stop) -> Result<Vec<Tensor>, RunError> {
            let DataView::F32(numbers) = inputs[0].view().data() else {
                panic!("not floats")
            };
            let mut sum = 0.0;
            let sums: Vec<f32> = numbers
                .iter()
                .map(|number| {
                    sum += number;
                    sum
                })
                .collect();
            Ok(vec![Tensor::new(vec![sums.len()], sums).unwrap()])
        }
    }

    #[test]
    fn where_the_first_dimension_is_no_batch_requests_run_one_by_one() {
        let port = |name| Port::tensor(name, ElementType::F32, [Dimension::Any]);
        let mut backend = RunningSum(Signature {
            inputs: vec![port("x")],
            outputs: vec![port("y")],
        });
        let mut trial = trial(&mut backend, FULL).unwrap();
        assert!(trial.batches, "zeros don't show it");
        trial.compare_rows(&mut backend);
        assert!(!trial.batches);
    }

    #[test]
    fn where_rows_can_not_be_compared_it_is_as_declared() {
        let mut backend = FakeBackend::classifier();
        let mut trial = trial(&mut backend, FULL).unwrap();
        trial.compare_rows(&mut backend);
        assert!(trial.batches, "negative numbers fail");
    }

    #[test]
    fn a_model_without_probabilities_is_served_though_not_to_predict() {
        let mut signature = classifier_signature();
        signature.outputs.truncate(1);
        let mut backend = FakeBackend::with_signature(signature);
        let trial = trial(&mut backend, FULL).unwrap();
        assert!(trial.batches);
        assert!(matches!(
            trial.classifier,
            Err(UnsupportedModel::NoProbabilities { .. })
        ));
    }

    #[test]
    fn failing_on_a_declared_shape_is_fatal_and_on_a_made_up_one_is_not() {
        let mut backend = FakeBackend::classifier().that_fails();
        assert!(trial(&mut backend, FULL).is_err());
        let mut signature = classifier_signature();
        signature.inputs = vec![Port::tensor(
            "tokens",
            ElementType::F32,
            [Dimension::Any, Dimension::Any],
        )];
        let mut backend = FakeBackend::with_signature(signature).that_fails();
        assert!(trial(&mut backend, FULL).unwrap().batches);
        assert_eq!(
            backend.rows(),
            [1],
            "a second try would show nothing either"
        );
    }
}
