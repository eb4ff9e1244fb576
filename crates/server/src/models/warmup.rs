//! Warm-up: the first runs of a model. They also decide whether its requests may share batches.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use springtide_batching::BatchCost;
use springtide_contract::batching::BatchingStatus;
use springtide_inference::independence::{
    CheckOutcome, RowGenerator, RowSource, check_independence,
};
use springtide_inference::onnx::ModelAnalysis;
use springtide_inference::{
    Backend, CancelHandle, RowByNumber, RunError, Signature, Tensor, learn_labels,
};
use springtide_tasks::tabular::OutputReader;
use springtide_tasks::{NoTask, TaskModel};

use super::batching::{
    BatchingPreference, GraphDecision, decide_from_check, decide_from_graph, full_batch_failed,
};
use super::owner_files::{OwnerFileError, WARM_UP_FILE};
use super::request::elements;
use crate::cpu::thread_cpu_time;

/// Maximum time of a warm-up run that is always repeated: it hardly delays the start.
const MAX_REPEATED_RUN: Duration = Duration::from_millis(20);

/// Maximum number of elements of a full batch. A model may declare rows of any length.
const MAX_ELEMENTS: usize = 1 << 26;

/// Maximum time of the search for inputs that the model accepts.
const MAX_SEARCH_TIME: Duration = Duration::from_secs(60);

/// Maximum time of the runs that check the owner's rows.
const MAX_OWNER_ROWS_TIME: Duration = Duration::from_secs(10);

/// Results of the warm-up.
#[derive(Debug)]
pub(super) struct Warmup {
    pub(super) signature: Signature,
    /// Whether requests may share batches, and why.
    pub(super) batching: BatchingStatus,
    pub(super) task: Result<TaskModel, NoTask>,
    /// Inputs that the model accepts: one row, and a full batch where requests share batches.
    inputs: Vec<Vec<Tensor>>,
    /// Measurements of the first runs of these inputs, in their order.
    runs: Vec<BatchCost>,
    /// Whether lengths were chosen arbitrarily, so that requests will have other shapes.
    has_arbitrary_lengths: bool,
}

/// Warms up a model and decides whether its requests may share batches.
///
/// Finds inputs that the model accepts, and runs one row and a full batch of them. The first requests then don't
/// wait for memory allocations and the choice of kernels. A model that accepts no generated input is served, each
/// request alone. Invalid rows of the owner are reported in the status and have no other effect.
pub(super) fn warm_up(
    backend: &mut dyn Backend,
    analysis: &ModelAnalysis,
    owner_rows: Result<Vec<Vec<Tensor>>, OwnerFileError>,
    preference: BatchingPreference,
    task: Result<TaskModel, NoTask>,
) -> Warmup {
    let began = Instant::now();
    let (owner_rows, problem) = match owner_rows {
        Ok(rows) => {
            let problem = refused_rows(backend, &rows, began);
            (rows, problem)
        }
        Err(unusable) => (Vec::new(), Some(unusable.to_string())),
    };
    let mut warmup = run_warmup(backend, analysis, &owner_rows, preference, task, began);
    if let Some(problem) = problem {
        tracing::warn!(problem, "not all warm-up rows of the model can be used");
        warmup.batching.message = format!("{} In addition, {problem}.", warmup.batching.message);
    }
    warmup
}

/// The problem with the owner's rows, if the model fails on some of them. Nothing else would report it, since
/// other rows are tried instead.
fn refused_rows(backend: &mut dyn Backend, rows: &[Vec<Tensor>], began: Instant) -> Option<String> {
    let mut fails = |row: &Vec<Tensor>| {
        let in_time = began.elapsed() <= MAX_OWNER_ROWS_TIME;
        let inputs: Vec<&Tensor> = row.iter().collect();
        in_time && backend.try_run(&inputs).is_err()
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

fn run_warmup(
    backend: &mut dyn Backend,
    analysis: &ModelAnalysis,
    owner_rows: &[Vec<Tensor>],
    preference: BatchingPreference,
    task: Result<TaskModel, NoTask>,
    began: Instant,
) -> Warmup {
    let signature = backend.signature().clone();
    let generator = RowGenerator::new(&signature, &analysis.candidates, owner_rows);
    let verdict = &analysis.graph.verdict;
    let nothing_runs =
        || CheckOutcome::Impossible("the model fails on all generated rows".to_owned());
    let decision = decide_from_graph(preference, signature.has_row_axis(), verdict);
    let mut warmup = Warmup {
        batching: match &decision {
            GraphDecision::Decided(status) => status.clone(),
            GraphDecision::NeedsCheck(_) => decide_from_check(verdict, &nothing_runs()),
        },
        task,
        signature: signature.clone(),
        inputs: Vec::new(),
        runs: Vec::new(),
        has_arbitrary_lengths: generator.has_free_lengths(),
    };
    let Some((source, row)) = warmup.first_that_runs(backend, &generator, began) else {
        tracing::warn!(
            "no warm-up: the model fails on all generated rows; put valid rows into warmup.json beside it"
        );
        return warmup;
    };
    if let GraphDecision::NeedsCheck(effort) = decision {
        let outcome = check_independence(
            backend,
            &generator,
            source,
            preference.max_rows,
            effort,
            &|| began.elapsed(),
        );
        warmup.batching = decide_from_check(verdict, &outcome);
    }
    if warmup.batching.enabled
        && let Some(full) = full_batch(&row, preference.max_rows)
    {
        match run(backend, &full, preference.max_rows, Memory::Released) {
            Ok((outputs, ran)) => {
                warmup.check_outputs(&outputs, preference.max_rows);
                warmup.runs.push(ran);
                warmup.inputs.push(full);
            }
            Err(error) => {
                tracing::warn!(rows = preference.max_rows, %error, "a full batch failed");
                warmup.batching = full_batch_failed(preference.max_rows);
            }
        }
    }
    warmup.learn_labels(backend, &|number| generator.row(source, number), preference);
    warmup
}

/// Warms up another session of a model.
pub(super) fn warm_up_another(backend: &mut dyn Backend, warmup: &Warmup) {
    for inputs in &warmup.inputs {
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        if let Err(error) = backend.try_run(&inputs) {
            tracing::warn!(%error, "a session's warm-up failed");
        }
    }
}

/// Row numbers to try: some models fail on negative numbers, others on positive ones, and these rows differ in that.
fn with_row_numbers(source: RowSource) -> impl Iterator<Item = (RowSource, usize)> {
    [0, 3, 4].into_iter().map(move |number| (source, number))
}

/// A batch of copies of a row. None where it has too many elements.
fn full_batch(row: &[Tensor], rows: NonZeroUsize) -> Option<Vec<Tensor>> {
    let all = elements(row).checked_mul(rows.get());
    all.filter(|all| *all <= MAX_ELEMENTS)?;
    let copies = |tensor: &Tensor| Tensor::stack(&vec![tensor; rows.get()]);
    row.iter().map(copies).collect()
}

/// Memory of a run after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    Kept,
    Released,
}

/// Runs the model. Returns the outputs and the measurement, whose CPU time is that of this thread.
fn run(
    backend: &mut dyn Backend,
    tensors: &[Tensor],
    rows: NonZeroUsize,
    memory: Memory,
) -> Result<(Vec<Tensor>, BatchCost), RunError> {
    let inputs: Vec<&Tensor> = tensors.iter().collect();
    let (began, cpu_time) = (Instant::now(), thread_cpu_time());
    let outputs = match memory {
        Memory::Kept => backend.run(&inputs, &CancelHandle::new())?,
        Memory::Released => backend.try_run(&inputs)?,
    };
    let ran = BatchCost {
        rows: rows.get(),
        elements: elements(tensors),
        took: began.elapsed(),
        cpu_time: thread_cpu_time().saturating_sub(cpu_time),
    };
    Ok((outputs, ran))
}

/// Whether a run is worth repeating, to measure it without the cost of a first run.
fn is_worth_repeating(took: Duration, total: Duration) -> bool {
    took <= MAX_REPEATED_RUN.max(total / 10)
}

impl Warmup {
    fn first_that_runs(
        &mut self,
        backend: &mut dyn Backend,
        generator: &RowGenerator<'_>,
        began: Instant,
    ) -> Option<(RowSource, Vec<Tensor>)> {
        for (source, number) in generator.sources().into_iter().flat_map(with_row_numbers) {
            if began.elapsed() > MAX_SEARCH_TIME {
                break;
            }
            let Some(row) = generator.row(source, number) else {
                continue;
            };
            if let Ok((outputs, ran)) = run(backend, &row, NonZeroUsize::MIN, Memory::Released) {
                self.check_outputs(&outputs, NonZeroUsize::MIN);
                self.runs.push(ran);
                self.inputs.push(row.clone());
                return Some((source, row));
            }
        }
        None
    }

    /// Measurements of batches. None where lengths were chosen arbitrarily, as requests will differ. Cheap runs are
    /// repeated, since the first at a size allocates memory. The very first run of all doesn't count.
    pub(super) fn measure(
        &self,
        backend: &mut dyn Backend,
        threads: NonZeroUsize,
    ) -> Vec<BatchCost> {
        if self.has_arbitrary_lengths || !self.batching.enabled {
            return Vec::new();
        }
        let total = self.runs.iter().map(|run| run.took).sum();
        let measure = |(index, (first, inputs)): (usize, (&BatchCost, &Vec<Tensor>))| {
            if !is_worth_repeating(first.took, total) {
                return (index > 0).then_some(*first);
            }
            let rows = NonZeroUsize::new(first.rows)?;
            let mut repeated = run(backend, inputs, rows, Memory::Kept).ok()?;
            if first.took <= MAX_REPEATED_RUN {
                // The first run that keeps its memory allocates it.
                repeated = run(backend, inputs, rows, Memory::Kept).ok()?;
            }
            Some(repeated.1)
        };
        let threads = u32::try_from(threads.get()).unwrap_or(u32::MAX);
        let of_all_threads = |ran: BatchCost| BatchCost {
            cpu_time: ran.cpu_time.saturating_mul(threads),
            ..ran
        };
        let first_runs = self.runs.iter().zip(&self.inputs).enumerate();
        let measured = first_runs.filter_map(measure);
        measured.map(of_all_threads).collect()
    }

    fn check_outputs(&mut self, outputs: &[Tensor], rows: NonZeroUsize) {
        let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
        match &mut self.task {
            Ok(TaskModel::Tabular(tabular)) => {
                tabular.outputs.check(&self.signature, &views, rows);
            }
            Ok(TaskModel::Image(image)) if image.activation().is_none() => {
                if let Ok(activation) = image.activation_of(&views) {
                    **image = (**image).clone().with_activation(activation);
                }
            }
            Ok(TaskModel::Text(_) | TaskModel::Image(_)) | Err(_) => {}
        }
    }

    /// Lets a classifier learn its labels from generated rows.
    fn learn_labels(
        &mut self,
        backend: &mut dyn Backend,
        row: RowByNumber<'_>,
        preference: BatchingPreference,
    ) {
        let batch_rows = if self.batching.enabled {
            preference.max_rows
        } else {
            NonZeroUsize::MIN
        };
        if let Ok(TaskModel::Tabular(tabular)) = &mut self.task
            && let OutputReader::Classes(classifier) = &mut tabular.outputs
        {
            learn_labels(backend, classifier, batch_rows, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use springtide_contract::batching::{BatchingMode, BatchingReason};
    use springtide_inference::{DataView, Dimension, ElementType, Port};

    use super::*;
    use crate::models::testing::{FakeBackend, classifier_signature, proven, tabular, unknown};

    const PREFERENCE: BatchingPreference = BatchingPreference {
        mode: BatchingMode::Auto,
        max_rows: NonZeroUsize::new(32).unwrap(),
    };

    fn warmup_of(backend: &mut FakeBackend) -> Warmup {
        let task = tabular(backend.signature());
        warm_up(backend, &proven(), Ok(Vec::new()), PREFERENCE, task)
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
        let warmup = warmup_of(&mut backend);
        assert_eq!(backend.rows().first(), Some(&1));
        assert_eq!(backend.rows().last(), Some(&32));
        assert_eq!(warmup.batching.reason, BatchingReason::Proven);
        let Ok(TaskModel::Tabular(tabular)) = warmup.task else {
            panic!("not tabular")
        };
        assert!(tabular.outputs.is_classifier());
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
        let warmup = warmup_of(&mut backend);
        let before = backend.rows().len();
        let measured = warmup.measure(&mut backend, NonZeroUsize::MIN);
        assert_eq!(backend.rows()[before..], [1, 1, 32, 32]);
        let rows: Vec<_> = measured.iter().map(|batch| batch.rows).collect();
        assert_eq!(rows, [1, 32]);
    }

    #[test]
    fn slow_runs_are_not_repeated_and_the_very_first_is_not_counted() {
        let mut backend = FakeBackend::classifier();
        let mut warmup = warmup_of(&mut backend);
        let before = backend.rows().len();
        for (index, milliseconds) in [(0, 400), (1, 2_000)] {
            warmup.runs[index].took = Duration::from_millis(milliseconds);
        }
        assert_eq!(
            warmup.measure(&mut backend, NonZeroUsize::MIN),
            warmup.runs[1..]
        );
        assert_eq!(backend.rows().len(), before);
        warmup.runs[0].took = Duration::from_millis(200);
        assert_eq!(warmup.measure(&mut backend, NonZeroUsize::MIN).len(), 2);
        assert_eq!(backend.rows()[before..], [1], "a tenth of the trial");
    }

    #[test]
    fn nothing_is_measured_where_a_length_was_made_up_or_requests_run_alone() {
        let mut backend = FakeBackend::with_signature(free_lengths());
        let warmup = warmup_of(&mut backend);
        assert!(warmup.batching.enabled);
        assert_eq!(warmup.measure(&mut backend, NonZeroUsize::MIN), []);
        let mut backend = FakeBackend::classifier().with_fixed_rows(1);
        let warmup = warmup_of(&mut backend);
        assert_eq!(warmup.measure(&mut backend, NonZeroUsize::MIN), []);
    }

    #[test]
    fn a_model_that_declares_rows_and_gives_others_runs_requests_one_by_one() {
        let mut backend = FakeBackend::classifier().with_fixed_rows(1);
        let warmup = warmup_of(&mut backend);
        assert_eq!(warmup.batching.reason, BatchingReason::TrialRefuted);
    }

    /// Adds up along the first dimension.
    struct RunningSum(Signature);

    impl Backend for RunningSum {
        fn signature(&self) -> &Signature {
            &self.0
        }

        fn run(&mut self, inputs: &[&Tensor], _: &CancelHandle) -> Result<Vec<Tensor>, RunError> {
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
        let task = tabular(backend.signature());
        let warmup = warm_up(&mut backend, &unknown(), Ok(Vec::new()), PREFERENCE, task);
        assert_eq!(warmup.batching.reason, BatchingReason::TrialRefuted);
    }

    #[test]
    fn what_the_owner_says_is_not_tried() {
        for (mode, enabled) in [(BatchingMode::Always, true), (BatchingMode::Never, false)] {
            let mut backend = FakeBackend::classifier();
            let preference = BatchingPreference { mode, ..PREFERENCE };
            let task = tabular(backend.signature());
            let warmup = warm_up(&mut backend, &unknown(), Ok(Vec::new()), preference, task);
            assert_eq!(warmup.batching.enabled, enabled);
            assert_eq!(backend.rows().contains(&32), enabled);
            assert!(backend.rows().iter().all(|rows| [1, 32].contains(rows)));
        }
    }

    #[test]
    fn a_model_with_free_lengths_is_served_though_not_to_predict() {
        let mut backend = FakeBackend::with_signature(free_lengths());
        let warmup = warmup_of(&mut backend);
        assert!(matches!(warmup.task, Err(NoTask::NotTabular(_))));
    }

    fn row(numbers: [f32; 2]) -> Vec<Tensor> {
        vec![Tensor::new(vec![1, 2], numbers.to_vec()).unwrap()]
    }

    #[test]
    fn an_unusable_warm_up_file_is_told_and_the_model_is_tried_without_it() {
        let mut backend = FakeBackend::classifier();
        let unusable = OwnerFileError::warm_up("it is no file");
        let task = tabular(backend.signature());
        let warmup = warm_up(&mut backend, &proven(), Err(unusable), PREFERENCE, task);
        assert_eq!(warmup.batching.reason, BatchingReason::Proven);
        let message = &warmup.batching.message;
        assert!(
            message.contains("warmup.json beside the model"),
            "{message}"
        );
    }

    #[test]
    fn rows_of_the_owner_on_which_the_model_fails_are_told() {
        let mut backend = FakeBackend::classifier();
        let rows = vec![row([1.0, 0.0]), row([-1.0, 0.0]), row([-2.0, 0.0])];
        let task = tabular(backend.signature());
        let warmup = warm_up(&mut backend, &proven(), Ok(rows), PREFERENCE, task);
        let message = &warmup.batching.message;
        let told = "fails on 2 of the 3 rows of warmup.json, first on row 2";
        assert!(message.contains(told), "{message}");
        let mut backend = FakeBackend::classifier();
        let task = tabular(backend.signature());
        let warmup = warm_up(
            &mut backend,
            &proven(),
            Ok(vec![row([1.0, 0.0])]),
            PREFERENCE,
            task,
        );
        let message = &warmup.batching.message;
        assert!(!message.contains("warmup.json"), "{message}");
    }

    #[test]
    fn a_model_that_runs_on_nothing_made_up_is_served_and_shares_only_where_it_is_proven() {
        let mut backend = FakeBackend::classifier().that_fails();
        let warmup_of = |backend: &mut FakeBackend, analysis: &ModelAnalysis| {
            let task = tabular(backend.signature());
            warm_up(backend, analysis, Ok(Vec::new()), PREFERENCE, task)
                .batching
                .reason
        };
        assert_eq!(
            warmup_of(&mut backend, &unknown()),
            BatchingReason::TrialImpossible
        );
        assert_eq!(warmup_of(&mut backend, &proven()), BatchingReason::Proven);
    }
}
