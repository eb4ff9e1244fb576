//! The first runs of a model: they warm it up and show how it may be served.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use springtide_batching::Ran;
use springtide_contract::batching::BatchingStatus;
use springtide_inference::onnx::Knowledge;
use springtide_inference::trial::{Maker, Outcome, Source, refute};
use springtide_inference::{
    Backend, Classes, Classifier, RunError, Signature, Stop, Tensor, UnsupportedModel,
};

use super::batching::{Before, Wish, after_trial, before_trial, full_batch_failed};
use super::request::elements;
use super::shipped::{ShippedError, WARM_UP_FILE};
use crate::cpu::thread_cpu_time;

/// A run that takes no longer may be repeated: the start is hardly later for it.
const CHEAP: Duration = Duration::from_millis(20);

/// Most elements of a full batch: a model may declare rows of any length, and have any number of them.
const MAX_ELEMENTS: usize = 1 << 26;

/// Longest time in which inputs are looked for that the model runs on.
const LONGEST_SEARCH: Duration = Duration::from_secs(60);

/// Longest time in which the owner's rows are run, to see which of them the model takes.
const LONGEST_OF_OWNER: Duration = Duration::from_secs(10);

/// What the first runs have shown.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) signature: Signature,
    /// Whether the requests of several clients may run as one, and why.
    pub(super) batching: BatchingStatus,
    pub(super) classifier: Result<Classifier, UnsupportedModel>,
    /// What the model runs on: one row, and a full batch where requests share batches.
    warm_up: Vec<Vec<Tensor>>,
    /// What they cost when they ran first, in their order.
    runs: Vec<Ran>,
    /// Whether requests will have other shapes than what was made up.
    lengths_made_up: bool,
}

/// Finds inputs that the model runs on, runs one row and a full batch of them, so that the first
/// requests don't pay for memory that is allocated and kernels that are chosen on first use, and
/// decides whether requests may share batches. A model that runs on nothing that could be made up is
/// served, each request alone. What is wrong with the rows that its owner ships is told and changes nothing
/// else.
pub(super) fn trial(
    backend: &mut dyn Backend,
    knowledge: &Knowledge,
    owner_rows: Result<Vec<Vec<Tensor>>, ShippedError>,
    wish: Wish,
) -> Trial {
    let began = Instant::now();
    let (owner_rows, problem) = match owner_rows {
        Ok(rows) => {
            let problem = refused_rows(backend, &rows, began);
            (rows, problem)
        }
        Err(unusable) => (Vec::new(), Some(unusable.to_string())),
    };
    let mut trial = tried(backend, knowledge, &owner_rows, wish, began);
    if let Some(problem) = problem {
        tracing::warn!(problem, "the model's own warm-up rows can't all be used");
        trial.batching.message = format!("{} Besides, {problem}.", trial.batching.message);
    }
    trial
}

/// What is wrong with the owner's rows: the model fails on some of them, which otherwise nothing would
/// tell, as others are tried in their place.
fn refused_rows(backend: &mut dyn Backend, rows: &[Vec<Tensor>], began: Instant) -> Option<String> {
    let mut fails = |row: &Vec<Tensor>| {
        let in_time = began.elapsed() <= LONGEST_OF_OWNER;
        let inputs: Vec<&Tensor> = row.iter().collect();
        in_time && backend.try_out(&inputs).is_err()
    };
    let failed: Vec<usize> = (1..)
        .zip(rows)
        .filter(|(_, row)| fails(row))
        .map(|(number, _)| number)
        .collect();
    let first = failed.first()?;
    Some(format!(
        "the model fails on {} of the {} rows of {WARM_UP_FILE}, first on row {first}",
        failed.len(),
        rows.len()
    ))
}

fn tried(
    backend: &mut dyn Backend,
    knowledge: &Knowledge,
    owner_rows: &[Vec<Tensor>],
    wish: Wish,
    began: Instant,
) -> Trial {
    let signature = backend.signature().clone();
    let maker = Maker::new(&signature, &knowledge.candidates, owner_rows);
    let verdict = &knowledge.analysis.verdict;
    let nothing_runs =
        || Outcome::Impossible("the model runs on nothing that could be made up".to_owned());
    let before = before_trial(wish, signature.has_row_axis(), verdict);
    let mut trial = Trial {
        batching: match &before {
            Before::Decided(status) => status.clone(),
            Before::Try(_) => after_trial(verdict, &nothing_runs()),
        },
        classifier: classifier(&signature, &knowledge.classes),
        signature: signature.clone(),
        warm_up: Vec::new(),
        runs: Vec::new(),
        lengths_made_up: maker.has_free_lengths(),
    };
    let Some((source, row)) = trial.first_that_runs(backend, &maker, began) else {
        tracing::warn!(
            "no warm-up: the model runs on nothing that could be made up; put rows that it takes into \
             warmup.json beside it"
        );
        return trial;
    };
    if let Before::Try(effort) = before {
        let outcome = refute(backend, &maker, source, wish.max_rows, effort, &|| {
            began.elapsed()
        });
        trial.batching = after_trial(verdict, &outcome);
    }
    if trial.batching.enabled
        && let Some(full) = full_batch(&row, wish.max_rows)
    {
        match run(backend, &full, wish.max_rows, Memory::GivenBack) {
            Ok((outputs, ran)) => {
                trial.check_classifier(&outputs, wish.max_rows);
                trial.runs.push(ran);
                trial.warm_up.push(full);
            }
            Err(error) => {
                tracing::warn!(rows = wish.max_rows, %error, "a full batch failed");
                trial.batching = full_batch_failed(wish.max_rows);
            }
        }
    }
    trial
}

/// Warms up another session of a model that was tried.
pub(super) fn warm_up(backend: &mut dyn Backend, trial: &Trial) {
    for inputs in &trial.warm_up {
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        if let Err(error) = backend.try_out(&inputs) {
            tracing::warn!(%error, "a session's warm-up failed");
        }
    }
}

fn classifier(
    signature: &Signature,
    classes: &[(String, Classes)],
) -> Result<Classifier, UnsupportedModel> {
    let classifier = Classifier::new(signature)?;
    let of_probabilities = classes
        .iter()
        .find(|(output, _)| output == classifier.probabilities());
    Ok(match of_probabilities {
        Some((_, classes)) => classifier.with_classes(classes.clone()),
        None => classifier,
    })
}

/// Some models fail on negative numbers, or on all others: rows of the kinds that differ in that.
fn in_some_rows(source: Source) -> impl Iterator<Item = (Source, usize)> {
    [0, 3, 4].into_iter().map(move |number| (source, number))
}

/// So many copies of a row; None where they have too many elements.
fn full_batch(row: &[Tensor], rows: NonZeroUsize) -> Option<Vec<Tensor>> {
    let all = elements(row).checked_mul(rows.get());
    all.filter(|all| *all <= MAX_ELEMENTS)?;
    let copies = |tensor: &Tensor| Tensor::stack(&vec![tensor; rows.get()]);
    row.iter().map(copies).collect()
}

/// What becomes of memory that a run needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    Kept,
    GivenBack,
}

/// The outputs of a run, and what it cost: of processors, this thread's part.
fn run(
    backend: &mut dyn Backend,
    tensors: &[Tensor],
    rows: NonZeroUsize,
    memory: Memory,
) -> Result<(Vec<Tensor>, Ran), RunError> {
    let inputs: Vec<&Tensor> = tensors.iter().collect();
    let (began, processor_time) = (Instant::now(), thread_cpu_time());
    let outputs = match memory {
        Memory::Kept => backend.run(&inputs, &Stop::new())?,
        Memory::GivenBack => backend.try_out(&inputs)?,
    };
    let ran = Ran {
        rows: rows.get(),
        elements: elements(tensors),
        took: began.elapsed(),
        processor_time: thread_cpu_time().saturating_sub(processor_time),
    };
    Ok((outputs, ran))
}

/// Whether a run of the trial is worth repeating, to measure it without what only first runs pay.
fn is_worth_repeating(took: Duration, trial: Duration) -> bool {
    took <= CHEAP.max(trial / 10)
}

impl Trial {
    fn first_that_runs(
        &mut self,
        backend: &mut dyn Backend,
        maker: &Maker<'_>,
        began: Instant,
    ) -> Option<(Source, Vec<Tensor>)> {
        for (source, number) in maker.sources().into_iter().flat_map(in_some_rows) {
            if began.elapsed() > LONGEST_SEARCH {
                break;
            }
            let Some(row) = maker.row(source, number) else {
                continue;
            };
            if let Ok((outputs, ran)) = run(backend, &row, NonZeroUsize::MIN, Memory::GivenBack) {
                self.check_classifier(&outputs, NonZeroUsize::MIN);
                self.runs.push(ran);
                self.warm_up.push(row.clone());
                return Some((source, row));
            }
        }
        None
    }

    /// What batches cost, where the trial's are like those that will come: no length was made up.
    /// Cheap runs are repeated, as the first at a size allocates; of the others, the very first of
    /// all doesn't count.
    pub(super) fn measure(&self, backend: &mut dyn Backend, threads: NonZeroUsize) -> Vec<Ran> {
        if self.lengths_made_up || !self.batching.enabled {
            return Vec::new();
        }
        let trial = self.runs.iter().map(|run| run.took).sum();
        let measure = |(index, (first, inputs)): (usize, (&Ran, &Vec<Tensor>))| {
            if !is_worth_repeating(first.took, trial) {
                return (index > 0).then_some(*first);
            }
            let rows = NonZeroUsize::new(first.rows)?;
            let mut repeated = run(backend, inputs, rows, Memory::Kept).ok()?;
            if first.took <= CHEAP {
                // The first run with memory that is kept allocates it.
                repeated = run(backend, inputs, rows, Memory::Kept).ok()?;
            }
            Some(repeated.1)
        };
        let threads = u32::try_from(threads.get()).unwrap_or(u32::MAX);
        let of_all_threads = |ran: Ran| Ran {
            processor_time: ran.processor_time.saturating_mul(threads),
            ..ran
        };
        let first_runs = self.runs.iter().zip(&self.warm_up).enumerate();
        let measured = first_runs.filter_map(measure);
        measured.map(of_all_threads).collect()
    }

    fn check_classifier(&mut self, outputs: &[Tensor], rows: NonZeroUsize) {
        if let Ok(classifier) = &mut self.classifier {
            let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
            if let Err(reason) = classifier.check(&views, rows) {
                self.classifier = Err(reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use springtide_contract::batching::{BatchingMode, BatchingReason};
    use springtide_inference::{DataView, Dimension, ElementType, Port};

    use super::*;
    use crate::models::testing::{FakeBackend, classifier_signature, proven, unknown};

    const WISH: Wish = Wish {
        mode: BatchingMode::Auto,
        max_rows: NonZeroUsize::new(32).unwrap(),
    };

    fn trial_of(backend: &mut FakeBackend) -> Trial {
        trial(backend, &proven(), Ok(Vec::new()), WISH)
    }

    fn free_lengths() -> Signature {
        let mut signature = classifier_signature();
        let any = Dimension::Any;
        signature.inputs = vec![Port::tensor("tokens", ElementType::F32, [any, any])];
        signature
    }

    #[test]
    fn one_row_and_a_full_batch_run() {
        let mut backend = FakeBackend::classifier();
        let trial = trial_of(&mut backend);
        assert_eq!(backend.rows().first(), Some(&1));
        assert_eq!(backend.rows().last(), Some(&32));
        assert_eq!(trial.batching.reason, BatchingReason::Proven);
        assert_eq!(trial.classifier.unwrap().features().get(), 2);
    }

    #[test]
    fn a_full_batch_has_no_more_elements_than_a_trial_may() {
        let row = [Tensor::zeros(ElementType::U8, vec![1, 1 << 20]).unwrap()];
        let of = |rows| full_batch(&row, NonZeroUsize::new(rows).unwrap());
        assert_eq!(of(3).unwrap()[0].shape(), [3, 1 << 20]);
        assert_eq!(of(65), None);
        assert_eq!(of(usize::MAX), None);
    }

    #[test]
    fn cheap_runs_are_repeated_and_measured() {
        let mut backend = FakeBackend::classifier();
        let trial = trial_of(&mut backend);
        let before = backend.rows().len();
        let measured = trial.measure(&mut backend, NonZeroUsize::MIN);
        assert_eq!(backend.rows()[before..], [1, 1, 32, 32]);
        let rows: Vec<_> = measured.iter().map(|batch| batch.rows).collect();
        assert_eq!(rows, [1, 32]);
    }

    #[test]
    fn slow_runs_are_not_repeated_and_the_very_first_is_not_counted() {
        let mut backend = FakeBackend::classifier();
        let mut trial = trial_of(&mut backend);
        let before = backend.rows().len();
        for (index, milliseconds) in [(0, 400), (1, 2_000)] {
            trial.runs[index].took = Duration::from_millis(milliseconds);
        }
        assert_eq!(
            trial.measure(&mut backend, NonZeroUsize::MIN),
            trial.runs[1..]
        );
        assert_eq!(backend.rows().len(), before);
        trial.runs[0].took = Duration::from_millis(200);
        assert_eq!(trial.measure(&mut backend, NonZeroUsize::MIN).len(), 2);
        assert_eq!(backend.rows()[before..], [1], "a tenth of the trial");
    }

    #[test]
    fn nothing_is_measured_where_a_length_was_made_up_or_requests_run_alone() {
        let mut backend = FakeBackend::with_signature(free_lengths());
        let trial = trial_of(&mut backend);
        assert!(trial.batching.enabled);
        assert_eq!(trial.measure(&mut backend, NonZeroUsize::MIN), []);
        let mut backend = FakeBackend::classifier().with_fixed_rows(1);
        let trial = trial_of(&mut backend);
        assert_eq!(trial.measure(&mut backend, NonZeroUsize::MIN), []);
    }

    #[test]
    fn a_model_that_declares_rows_and_gives_others_runs_requests_one_by_one() {
        let mut backend = FakeBackend::classifier().with_fixed_rows(1);
        let trial = trial_of(&mut backend);
        assert_eq!(trial.batching.reason, BatchingReason::TrialRefuted);
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
        let trial = trial(&mut backend, &unknown(), Ok(Vec::new()), WISH);
        assert_eq!(trial.batching.reason, BatchingReason::TrialRefuted);
    }

    #[test]
    fn what_the_owner_says_is_not_tried() {
        for (mode, enabled) in [(BatchingMode::Always, true), (BatchingMode::Never, false)] {
            let mut backend = FakeBackend::classifier();
            let wish = Wish { mode, ..WISH };
            let trial = trial(&mut backend, &unknown(), Ok(Vec::new()), wish);
            assert_eq!(trial.batching.enabled, enabled);
            assert_eq!(backend.rows().contains(&32), enabled);
            assert!(backend.rows().iter().all(|rows| [1, 32].contains(rows)));
        }
    }

    #[test]
    fn a_model_without_probabilities_is_served_though_not_to_predict() {
        let mut signature = classifier_signature();
        signature.outputs.truncate(1);
        let mut backend = FakeBackend::with_signature(signature);
        let trial = trial_of(&mut backend);
        assert!(trial.batching.enabled);
        assert!(matches!(
            trial.classifier,
            Err(UnsupportedModel::NoProbabilities { .. })
        ));
    }

    fn row(numbers: [f32; 2]) -> Vec<Tensor> {
        vec![Tensor::new(vec![1, 2], numbers.to_vec()).unwrap()]
    }

    #[test]
    fn an_unusable_warm_up_file_is_told_and_the_model_is_tried_without_it() {
        let mut backend = FakeBackend::classifier();
        let unusable = ShippedError::warm_up("it is no file");
        let trial = trial(&mut backend, &proven(), Err(unusable), WISH);
        assert_eq!(trial.batching.reason, BatchingReason::Proven);
        let message = &trial.batching.message;
        assert!(
            message.contains("warmup.json beside the model"),
            "{message}"
        );
    }

    #[test]
    fn rows_of_the_owner_on_which_the_model_fails_are_told() {
        let mut backend = FakeBackend::classifier();
        let rows = vec![row([1.0, 0.0]), row([-1.0, 0.0]), row([-2.0, 0.0])];
        let tried = trial(&mut backend, &proven(), Ok(rows), WISH);
        let message = &tried.batching.message;
        let told = "fails on 2 of the 3 rows of warmup.json, first on row 2";
        assert!(message.contains(told), "{message}");
        let mut backend = FakeBackend::classifier();
        let tried = trial(&mut backend, &proven(), Ok(vec![row([1.0, 0.0])]), WISH);
        let message = &tried.batching.message;
        assert!(!message.contains("warmup.json"), "{message}");
    }

    #[test]
    fn a_model_that_runs_on_nothing_made_up_is_served_and_shares_only_where_it_is_proven() {
        let mut backend = FakeBackend::classifier().that_fails();
        let trial_of = |backend: &mut FakeBackend, knowledge: &Knowledge| {
            trial(backend, knowledge, Ok(Vec::new()), WISH)
                .batching
                .reason
        };
        assert_eq!(
            trial_of(&mut backend, &unknown()),
            BatchingReason::TrialImpossible
        );
        assert_eq!(trial_of(&mut backend, &proven()), BatchingReason::Proven);
    }
}
