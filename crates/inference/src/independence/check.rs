//! Trial runs that try to show a dependence between the rows of a batch.

use std::num::NonZeroUsize;
use std::time::Duration;

use fastrand::Rng;

use super::{RowGenerator, RowSource, check_row_counts, compare};
use crate::backend::Backend;
use crate::signature::Signature;
use crate::tensor::{Tensor, TensorView};

/// Rows of a full check, each of another distribution.
const ROWS: usize = 8;

/// Maximum number of generated rows to find enough valid ones.
const MAX_TRIES: usize = 3 * ROWS;

/// Maximum number of rows of a batch.
const MAX_BATCH: usize = 64;

/// Maximum number of elements of a batch: a full batch of large images takes gigabytes and shows no more than a
/// smaller one.
const MAX_BATCH_ELEMENTS: usize = 1 << 24;

/// Effort of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Two batches, for a model whose rows are proven independent.
    Quick,
    /// Batches of several sizes, with each row at several positions. Rows have two lengths where lengths are free.
    Full,
}

impl Effort {
    /// Maximum time of a check, which delays the start.
    const fn max_time(self) -> Duration {
        match self {
            Self::Quick => Duration::from_secs(10),
            Self::Full => Duration::from_secs(60),
        }
    }
}

/// Outcome of a check.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckOutcome {
    /// No difference was found.
    Passed,
    /// A row in a batch differs from the row alone.
    Refuted(String),
    /// The model fails on all generated rows, or the check takes too long.
    Impossible(String),
}

/// Runs rows alone and in batches of at most `max_rows`, and compares the outputs. `source` gives rows that the model
/// accepts, `elapsed` the time since the warm-up began.
pub fn check_independence(
    backend: &mut dyn Backend,
    generator: &RowGenerator<'_>,
    source: RowSource,
    max_rows: NonZeroUsize,
    effort: Effort,
    elapsed: &dyn Fn() -> Duration,
) -> CheckOutcome {
    let signature = backend.signature().clone();
    let mut check = IndependenceCheck {
        backend,
        signature: &signature,
        max_rows: max_rows.get().min(MAX_BATCH),
        effort,
        elapsed,
    };
    let mut sources = vec![source];
    if effort == Effort::Full && (generator.has_free_lengths() || source == RowSource::Owner) {
        // Rows of another length: a dependence may show only with a certain length. The rows of an owner may be few
        // and similar, so generated rows are added.
        let others = generator
            .sources()
            .into_iter()
            .filter(|other| *other != source);
        sources.extend(others.filter(|other| check.runs(generator, *other)).take(1));
    }
    let mut tried = false;
    for source in sources {
        match check.compare_rows_of(generator, source) {
            Ok(batches) => tried |= batches,
            Err(refuted) => return CheckOutcome::Refuted(refuted),
        }
    }
    if check.is_late() {
        let seconds = effort.max_time().as_secs();
        CheckOutcome::Impossible(format!("its trial runs take longer than {seconds} s"))
    } else if tried {
        CheckOutcome::Passed
    } else {
        let message = "the model accepts no two generated rows with different outputs";
        CheckOutcome::Impossible(message.to_owned())
    }
}

struct IndependenceCheck<'a> {
    backend: &'a mut dyn Backend,
    signature: &'a Signature,
    max_rows: usize,
    effort: Effort,
    elapsed: &'a dyn Fn() -> Duration,
}

/// A row and its outputs alone.
struct Row {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

impl IndependenceCheck<'_> {
    fn is_late(&self) -> bool {
        (self.elapsed)() > self.effort.max_time()
    }

    fn runs(&mut self, generator: &RowGenerator<'_>, source: RowSource) -> bool {
        generator
            .row(source, 0)
            .is_some_and(|row| self.run(&row).is_some())
    }

    fn run(&mut self, inputs: &[Tensor]) -> Option<Vec<Tensor>> {
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        self.backend.try_run(&inputs).ok()
    }

    /// Returns whether a batch was tried with rows of different outputs.
    fn compare_rows_of(
        &mut self,
        generator: &RowGenerator<'_>,
        source: RowSource,
    ) -> Result<bool, String> {
        let count = match self.effort {
            Effort::Quick => 3,
            Effort::Full => ROWS,
        };
        let mut rows: Vec<Row> = Vec::new();
        for number in 0..MAX_TRIES {
            if rows.len() == count || self.is_late() {
                break;
            }
            let Some(inputs) = generator.row(source, number) else {
                continue;
            };
            // Rows that the model rejects show nothing.
            let Some(outputs) = self.run(&inputs) else {
                continue;
            };
            if rows.iter().any(|row| row.inputs == inputs) {
                continue;
            }
            if self.effort == Effort::Full {
                self.is_repeatable(&inputs, &outputs)?;
            }
            self.has_one_row(&outputs)?;
            rows.push(Row { inputs, outputs });
        }
        if rows.len() < 2 {
            return Ok(false);
        }
        let elements: usize = rows[0].inputs.iter().map(|t| t.data().view().len()).sum();
        let most = self
            .max_rows
            .min(MAX_BATCH_ELEMENTS / elements.max(1))
            .max(2);
        for batch in batches(rows.len(), most, self.effort) {
            if self.is_late() {
                break;
            }
            self.check(&rows, &batch)?;
        }
        // Rows with equal outputs would hardly differ in a batch.
        let differs = |row: &Row| compare(&views(&rows[0].outputs), &views(&row.outputs)).is_err();
        Ok(rows.iter().any(differs))
    }

    fn is_repeatable(&mut self, inputs: &[Tensor], outputs: &[Tensor]) -> Result<(), String> {
        let again = self.run(inputs).unwrap_or_default();
        compare(&views(outputs), &views(&again)).map_err(|difference| {
            format!("the same row gives other outputs when it runs again: {difference}")
        })
    }

    fn has_one_row(&self, outputs: &[Tensor]) -> Result<(), String> {
        check_row_counts(self.signature, outputs, NonZeroUsize::MIN)
            .map_err(|error| error.to_string())
    }

    fn check(&mut self, rows: &[Row], batch: &[usize]) -> Result<(), String> {
        let count = batch.len();
        let inputs: Option<Vec<Tensor>> = (0..rows[0].inputs.len())
            .map(|input| {
                let parts: Vec<&Tensor> =
                    batch.iter().map(|row| &rows[*row].inputs[input]).collect();
                Tensor::stack(&parts)
            })
            .collect();
        let inputs = inputs.ok_or("rows of the same shape can't be stacked")?;
        let outputs = self
            .run(&inputs)
            .ok_or_else(|| format!("{count} rows that run alone fail together"))?;
        let all = NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        check_row_counts(self.signature, &outputs, all).map_err(|error| error.to_string())?;
        for (place, row) in batch.iter().enumerate() {
            let batched: Option<Vec<TensorView<'_>>> = outputs
                .iter()
                .map(|output| output.view_rows(place..place + 1))
                .collect();
            let batched = batched.unwrap_or_default();
            compare(&views(&rows[*row].outputs), &batched).map_err(|difference| {
                format!("in a batch of {count} a row gives other outputs than alone: {difference}")
            })?;
        }
        Ok(())
    }
}

fn views(tensors: &[Tensor]) -> Vec<TensorView<'_>> {
    tensors.iter().map(Tensor::view).collect()
}

/// The batches to try, as indices of rows.
fn batches(rows: usize, most: usize, effort: Effort) -> Vec<Vec<usize>> {
    let mut random = Rng::with_seed(7);
    let mut full: Vec<usize> = (0..most).map(|place| place % rows).collect();
    random.shuffle(&mut full);
    if effort == Effort::Quick {
        return vec![vec![0, 1], full];
    }
    let all: Vec<usize> = (0..rows).collect();
    let mut batches = vec![vec![0, 1], vec![1, 0], vec![1, 2 % rows]];
    for chunk in all.chunks(3) {
        batches.push(chunk.to_vec());
    }
    batches.push(all.iter().rev().copied().collect());
    batches.push(all);
    batches.push(full);
    batches.retain(|batch| batch.len() > 1);
    for batch in &mut batches {
        batch.truncate(most);
    }
    batches
}

#[cfg(test)]
mod tests {
    use springtide_rows::Candidates;

    use super::*;
    use crate::backend::RunError;
    use crate::cancel::CancelHandle;
    use crate::data::{Data, DataView};
    use crate::element::ElementType;
    use crate::signature::{Dimension, Port};

    /// `x float32[N, 1] -> y`, as a function of the column.
    struct Column<F> {
        signature: Signature,
        function: F,
        sizes: Vec<usize>,
    }

    impl<F: FnMut(&[f32]) -> Option<Data> + Send + 'static> Column<F> {
        fn new(output: ElementType, function: F) -> Self {
            let (any, one) = (Dimension::Any, Dimension::Fixed(1));
            let signature = Signature {
                inputs: vec![Port::tensor("x", ElementType::F32, [any, one])],
                outputs: vec![Port::tensor("y", output, [any])],
            };
            Self {
                signature,
                function,
                sizes: Vec::new(),
            }
        }
    }

    impl<F: FnMut(&[f32]) -> Option<Data> + Send + 'static> Backend for Column<F> {
        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn run(&mut self, inputs: &[&Tensor], _: &CancelHandle) -> Result<Vec<Tensor>, RunError> {
            let DataView::F32(column) = inputs[0].view().data() else {
                panic!("not floats")
            };
            self.sizes.push(column.len());
            let failed = || RunError::Failed("as asked for".to_owned());
            let data = (self.function)(column).ok_or_else(failed)?;
            Ok(vec![Tensor::new(vec![data.view().len()], data).unwrap()])
        }
    }

    fn outcome_of(
        output: ElementType,
        function: impl FnMut(&[f32]) -> Option<Data> + Send + 'static,
    ) -> CheckOutcome {
        let mut backend = Column::new(output, function);
        let signature = backend.signature.clone();
        let candidates = Candidates::default();
        let generator = RowGenerator::new(&signature, &candidates, &[]);
        let source = generator.sources()[0];
        check_independence(
            &mut backend,
            &generator,
            source,
            NonZeroUsize::new(32).unwrap(),
            Effort::Full,
            &|| Duration::ZERO,
        )
    }

    fn outcome(function: impl FnMut(&[f32]) -> Option<Data> + Send + 'static) -> CheckOutcome {
        outcome_of(ElementType::F32, function)
    }

    fn each(function: fn(f32) -> f32) -> impl FnMut(&[f32]) -> Option<Data> {
        move |column| {
            Some(
                column
                    .iter()
                    .copied()
                    .map(function)
                    .collect::<Vec<_>>()
                    .into(),
            )
        }
    }

    fn is_refuted(outcome: &CheckOutcome) -> bool {
        matches!(outcome, CheckOutcome::Refuted(_))
    }

    #[test]
    fn what_is_done_with_each_row_passes() {
        assert_eq!(outcome(each(|x| 2.0 * x)), CheckOutcome::Passed);
        assert_eq!(
            outcome(each(f32::sqrt)),
            CheckOutcome::Passed,
            "NaN where x < 0"
        );
    }

    #[test]
    fn several_sizes_are_tried_and_the_full_batch() {
        let mut backend = Column::new(ElementType::F32, each(|x| x));
        let signature = backend.signature.clone();
        let candidates = Candidates::default();
        let generator = RowGenerator::new(&signature, &candidates, &[]);
        let max_rows = NonZeroUsize::new(32).unwrap();
        let source = generator.sources()[0];
        check_independence(
            &mut backend,
            &generator,
            source,
            max_rows,
            Effort::Full,
            &|| Duration::ZERO,
        );
        for size in [1, 2, 3, 8, 32] {
            assert!(backend.sizes.contains(&size), "{size}");
        }
        backend.sizes.clear();
        check_independence(
            &mut backend,
            &generator,
            source,
            max_rows,
            Effort::Quick,
            &|| Duration::ZERO,
        );
        assert_eq!(backend.sizes, [1, 1, 1, 2, 32]);
    }

    #[test]
    fn what_depends_on_other_rows_is_refuted() {
        let running_sum = |column: &[f32]| {
            let sums = column.iter().scan(0.0, |sum, x| {
                *sum += x;
                Some(*sum)
            });
            Some(sums.collect::<Vec<_>>().into())
        };
        assert!(is_refuted(&outcome(running_sum)));
        let by_the_largest = |column: &[f32]| {
            let largest = column.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let step = largest / 127.0;
            Some(
                column
                    .iter()
                    .map(|x| (x / step).round() * step)
                    .collect::<Vec<_>>()
                    .into(),
            )
        };
        assert!(is_refuted(&outcome(by_the_largest)), "dynamic quantization");
        let only_from_three_rows_on = |column: &[f32]| {
            let shift = if column.len() > 2 { column[0] } else { 0.0 };
            Some(column.iter().map(|x| x + shift).collect::<Vec<_>>().into())
        };
        assert!(is_refuted(&outcome(only_from_three_rows_on)));
        let only_the_last_of_a_full_batch = |column: &[f32]| {
            let mut result = column.to_vec();
            if column.len() == 32 {
                result[31] = 0.5;
            }
            Some(result.into())
        };
        assert!(is_refuted(&outcome(only_the_last_of_a_full_batch)));
        let nan_in_company = |column: &[f32]| {
            let nan = column.len() > 1;
            let number = |x: &f32| if nan { f32::NAN } else { *x };
            Some(column.iter().map(number).collect::<Vec<_>>().into())
        };
        assert!(is_refuted(&outcome(nan_in_company)));
        let places = |column: &[f32]| Some((0..column.len() as i64).collect::<Vec<_>>().into());
        assert!(is_refuted(&outcome_of(ElementType::I64, places)));
    }

    #[test]
    fn what_fails_in_company_or_changes_by_itself_is_refuted() {
        let alone_only = |column: &[f32]| (column.len() == 1).then(|| column.to_vec().into());
        assert!(is_refuted(&outcome(alone_only)));
        let mut calls = 0.0;
        let counts = move |column: &[f32]| {
            calls += 1.0;
            Some(vec![calls; column.len()].into())
        };
        assert!(is_refuted(&outcome(counts)));
    }

    #[test]
    fn other_rows_than_went_in_are_refuted() {
        assert!(is_refuted(&outcome(|_| Some(vec![1.0_f32; 3].into()))));
        let one = |_: &[f32]| Some(vec![1.0_f32].into());
        assert!(is_refuted(&outcome(one)));
    }

    #[test]
    fn rows_of_an_owner_are_tried_beside_others() {
        let owned = |numbers: &[f32], function: fn(&[f32]) -> Vec<f32>| {
            let mut backend = Column::new(ElementType::F32, move |column: &[f32]| {
                Some(function(column).into())
            });
            let signature = backend.signature.clone();
            let row = |number: &f32| vec![Tensor::new(vec![1, 1], vec![*number]).unwrap()];
            let rows: Vec<Vec<Tensor>> = numbers.iter().map(row).collect();
            let candidates = Candidates::default();
            let generator = RowGenerator::new(&signature, &candidates, &rows);
            let max_rows = NonZeroUsize::new(32).unwrap();
            check_independence(
                &mut backend,
                &generator,
                RowSource::Owner,
                max_rows,
                Effort::Full,
                &|| Duration::ZERO,
            )
        };
        let itself = |column: &[f32]| column.to_vec();
        assert_eq!(
            owned(&[1.0], itself),
            CheckOutcome::Passed,
            "one says nothing"
        );
        let above_ten = |column: &[f32]| {
            let large = column.iter().any(|x| x.abs() > 10.0);
            let scale = if large { 0.5 } else { 1.0 };
            column.iter().map(|x| scale * x).collect()
        };
        assert!(is_refuted(&owned(&[1.0, 1.1], above_ten)));
    }

    #[test]
    fn without_two_rows_that_differ_nothing_is_known() {
        assert!(matches!(outcome(|_| None), CheckOutcome::Impossible(_)));
        assert!(matches!(
            outcome(each(|_| f32::NAN)),
            CheckOutcome::Impossible(_)
        ));
        let beyond_all_rows = |column: &[f32]| {
            let sum: f32 = column.iter().sum();
            let labels: Vec<i64> = column.iter().map(|_| i64::from(sum > 1e9)).collect();
            Some(labels.into())
        };
        assert!(matches!(
            outcome_of(ElementType::I64, beyond_all_rows),
            CheckOutcome::Impossible(_)
        ));
    }

    #[test]
    fn a_trial_that_takes_too_long_ends_and_decides_nothing() {
        let mut backend = Column::new(ElementType::F32, each(|x| x));
        let signature = backend.signature.clone();
        let candidates = Candidates::default();
        let generator = RowGenerator::new(&signature, &candidates, &[]);
        let source = generator.sources()[0];
        let runs = std::cell::Cell::new(0);
        // Each look at the clock comes 7 s after the one before.
        let elapsed = || {
            runs.set(runs.get() + 7);
            Duration::from_secs(runs.get())
        };
        let max_rows = NonZeroUsize::new(32).unwrap();
        let outcome = check_independence(
            &mut backend,
            &generator,
            source,
            max_rows,
            Effort::Full,
            &elapsed,
        );
        let expected = "its trial runs take longer than 60 s".to_owned();
        assert_eq!(outcome, CheckOutcome::Impossible(expected));
        assert!(backend.sizes.len() < 30, "{:?}", backend.sizes);
    }
}
