//! Reads a model's outputs as classes with a confidence.
//!
//! A classifier has an output of labels `[N]`, class probabilities `[N, classes]` (or one output `[N]` for each class),
//! or both. These are classifiers of scikit-learn and of boosted trees as their exporters write them, and networks that
//! end in a softmax.
//!
//! A label may differ from the class with the highest probability: a support vector machine votes, and a tuned
//! threshold isn't 0.5. A confidence is therefore given only where the label's column is known: see
//! [`label_columns`].

mod class;
pub mod label_columns;

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::slice::ChunksExact;

pub use self::class::Class;
use self::label_columns::{Classes, LabelColumns, argmax};
use crate::data::DataView;
use crate::element::ElementType;
use crate::signature::{Dimension, Port, Signature};
use crate::tensor::TensorView;

/// Maximum deviation of the sum of a row's probabilities from 1: rounding of 32-bit floats over many classes.
const SUM_TOLERANCE: f32 = 1e-2;

/// The class of one row, with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The class.
    pub class: Class,
    /// The probability of this class, from 0 to 1. Not finite where the model's floats overflow. None where the
    /// column of the class is unknown.
    pub confidence: Option<f32>,
}

/// The probabilities of the classes of one row, in the model's order.
pub type ClassProbabilities = Vec<(Class, f32)>;

/// Outputs of a run that can't be read as classes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputMismatch {
    /// The shape of an output in a run isn't the declared one.
    #[error("the model's output {output} is {given} for {rows} rows")]
    Shape {
        /// The output.
        output: String,
        /// Its type and shape: `float32[2, 3]`.
        given: String,
        /// Rows of the input.
        rows: usize,
    },
    /// A run lacks the output.
    #[error("the model didn't give its output {output}")]
    Missing {
        /// The output.
        output: String,
    },
    /// The values aren't probabilities.
    #[error("the model's output {output} doesn't hold class probabilities (a row sums to {sum})")]
    NotProbabilities {
        /// The output.
        output: String,
        /// Sum of the first invalid row.
        sum: String,
    },
}

/// The outputs of a classifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classifier {
    labels: Option<OutputAt>,
    probabilities: Option<Probabilities>,
    label_columns: LabelColumns,
}

/// The outputs with the probabilities of the classes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Probabilities {
    /// `[N, classes]`.
    Table(OutputAt),
    /// `[N]` for each class.
    Columns(Vec<OutputAt>),
}

/// An output, by its position among those of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OutputAt {
    index: usize,
    name: String,
}

impl Classifier {
    /// Finds the labels and the probabilities. None if the model has neither.
    #[must_use]
    pub fn new(signature: &Signature) -> Option<Self> {
        let labels = labels(signature);
        let (probabilities, classes) =
            match label_type(signature).and_then(|of| columns(signature, of)) {
                Some((columns, classes)) => (Some(Probabilities::Columns(columns)), Some(classes)),
                None => (table(signature).map(Probabilities::Table), None),
            };
        if labels.is_none() && probabilities.is_none() {
            return None;
        }
        Some(Self {
            labels,
            probabilities,
            label_columns: classes.map_or_else(LabelColumns::default, LabelColumns::declared),
        })
    }

    /// The classifier with declared classes, in the order of the columns of its probabilities.
    #[must_use]
    pub fn with_classes(self, classes: Classes) -> Self {
        Self {
            label_columns: LabelColumns::declared(classes),
            ..self
        }
    }

    /// The classifier without the output that turned out not to hold probabilities. None if it has no labels.
    #[must_use]
    pub fn without_probabilities(self) -> Option<Self> {
        self.labels.is_some().then_some(Self {
            probabilities: None,
            ..self
        })
    }

    /// Name of the output with the probabilities, if one output has them.
    #[must_use]
    pub fn probabilities(&self) -> Option<&str> {
        match &self.probabilities {
            Some(Probabilities::Table(output)) => Some(&output.name),
            Some(Probabilities::Columns(_)) | None => None,
        }
    }

    /// The classes that the model declares, in the order of the columns of its probabilities. Empty if it declares none.
    #[must_use]
    pub fn declared_classes(&self) -> &[Class] {
        match &self.label_columns {
            LabelColumns::Declared { classes, .. } => classes,
            LabelColumns::Learned(_) => &[],
        }
    }

    /// The predictions of `rows` rows, from the outputs of a run for these rows.
    ///
    /// # Errors
    /// When an output is missing or has another shape.
    pub fn predictions(
        &self,
        outputs: &[TensorView<'_>],
        rows: NonZeroUsize,
    ) -> Result<Vec<Prediction>, OutputMismatch> {
        let probabilities = self.probability_rows(outputs, rows)?;
        let labels = self.label_rows(outputs, rows)?;
        Ok(match (labels, &probabilities) {
            (Some(labels), Some(probabilities)) => labels
                .into_iter()
                .zip(probabilities.rows())
                .map(|(class, row)| Prediction {
                    confidence: self.confidence(&class, row),
                    class,
                })
                .collect(),
            (Some(labels), None) => {
                let without_confidence = |class| Prediction {
                    class,
                    confidence: None,
                };
                labels.into_iter().map(without_confidence).collect()
            }
            (None, Some(probabilities)) => probabilities
                .rows()
                .map(|row| self.of_highest(row))
                .collect(),
            (None, None) => Vec::new(),
        })
    }

    /// The probabilities of the classes of `rows` rows, in the model's order. None if the model has none, or if the
    /// classes of its probabilities are unknown.
    ///
    /// # Errors
    /// When an output is missing or has another shape.
    pub fn class_probabilities(
        &self,
        outputs: &[TensorView<'_>],
        rows: NonZeroUsize,
    ) -> Result<Option<Vec<ClassProbabilities>>, OutputMismatch> {
        let Some(probabilities) = self.probability_rows(outputs, rows)? else {
            return Ok(None);
        };
        let number = |column: usize| Class::Number(i64::try_from(column).unwrap_or(i64::MAX));
        let classes: Option<Vec<Class>> = match &self.labels {
            // Without labels, a class is its position.
            None => Some(
                (0..probabilities.columns)
                    .map(|column| {
                        let class = self.label_columns.class(column, probabilities.columns);
                        class.unwrap_or_else(|| number(column))
                    })
                    .collect(),
            ),
            Some(_) => self.label_columns.classes(probabilities.columns),
        };
        let Some(classes) = classes else {
            return Ok(None);
        };
        let named = |row: &[f32]| classes.iter().cloned().zip(row.iter().copied()).collect();
        Ok(Some(probabilities.rows().map(named).collect()))
    }

    /// The prediction of a row without a label.
    fn of_highest(&self, row: &[f32]) -> Prediction {
        let (position, confidence) = argmax(row);
        let number = || Class::Number(i64::try_from(position).unwrap_or(i64::MAX));
        let class = self.label_columns.class(position, row.len());
        Prediction {
            class: class.unwrap_or_else(number),
            confidence: Some(confidence),
        }
    }

    /// The probability of a row's label.
    fn confidence(&self, label: &Class, row: &[f32]) -> Option<f32> {
        let (_, best) = argmax(row);
        if best.is_nan() {
            // The row has no highest probability.
            return Some(best);
        }
        let column = self.label_columns.column(label, row)?;
        row.get(column).copied()
    }

    /// Whether labels are learned from trial runs: there are labels and probabilities, and the model doesn't declare
    /// its classes.
    #[must_use]
    pub const fn learns_labels(&self) -> bool {
        self.labels.is_some()
            && self.probabilities.is_some()
            && matches!(self.label_columns, LabelColumns::Learned(_))
    }

    /// Learns the columns of labels from a trial run. Outputs of another shape are ignored. The rows should differ,
    /// since equal rows show only one label.
    pub fn learn(&mut self, outputs: &[TensorView<'_>], rows: NonZeroUsize) {
        let (Ok(Some(labels)), Ok(Some(probabilities))) = (
            self.label_rows(outputs, rows),
            self.probability_rows(outputs, rows),
        ) else {
            return;
        };
        let mut before = None;
        for (label, row) in labels.iter().zip(probabilities.rows()) {
            // Equal rows of a batch count once.
            if before != Some((label, row)) {
                self.label_columns.learn(label.clone(), row);
            }
            before = Some((label, row));
        }
    }

    /// Checks the outputs of a trial run, and learns from them ([`Self::learn`]).
    ///
    /// # Errors
    /// When a shape is wrong or a row of probabilities doesn't sum to 1.
    pub fn check(
        &mut self,
        outputs: &[TensorView<'_>],
        rows: NonZeroUsize,
    ) -> Result<(), OutputMismatch> {
        let probabilities = self.probability_rows(outputs, rows)?;
        for row in probabilities.iter().flat_map(ProbabilityRows::rows) {
            let sum: f32 = row.iter().sum();
            if sum.is_nan() {
                // The generated values are invalid for the model, such as 0 for a logarithm. That shows
                // nothing about valid ones.
                continue;
            }
            let probable = row
                .iter()
                .all(|number| (0.0..=1.0 + SUM_TOLERANCE).contains(number));
            if !probable || (sum - 1.0).abs() > SUM_TOLERANCE {
                let output = self.probabilities().unwrap_or("probabilities").to_owned();
                return Err(OutputMismatch::NotProbabilities {
                    output,
                    sum: sum.to_string(),
                });
            }
        }
        self.label_rows(outputs, rows)?;
        self.learn(outputs, rows);
        Ok(())
    }

    /// The probabilities of a run. None if the model has none.
    fn probability_rows<'t>(
        &self,
        outputs: &[TensorView<'t>],
        rows: NonZeroUsize,
    ) -> Result<Option<ProbabilityRows<'t>>, OutputMismatch> {
        match &self.probabilities {
            None => Ok(None),
            Some(Probabilities::Table(output)) => {
                let tensor = output.find(outputs)?;
                let mismatch = || output.wrong_shape(tensor, rows);
                let &[count, columns] = tensor.shape() else {
                    return Err(mismatch());
                };
                let numbers = tensor.data().floats().ok_or_else(mismatch)?;
                if count != rows.get() || columns < 2 {
                    return Err(mismatch());
                }
                Ok(Some(ProbabilityRows { numbers, columns }))
            }
            Some(Probabilities::Columns(all)) => {
                let mut numbers = vec![0.0; rows.get().saturating_mul(all.len())];
                for (column, output) in all.iter().enumerate() {
                    let tensor = output.find(outputs)?;
                    let mismatch = || output.wrong_shape(tensor, rows);
                    let given = tensor.data().floats().ok_or_else(mismatch)?;
                    if given.len() != rows.get() {
                        return Err(mismatch());
                    }
                    let places = numbers.iter_mut().skip(column).step_by(all.len());
                    places
                        .zip(&*given)
                        .for_each(|(place, number)| *place = *number);
                }
                Ok(Some(ProbabilityRows {
                    numbers: numbers.into(),
                    columns: all.len(),
                }))
            }
        }
    }

    fn label_rows(
        &self,
        outputs: &[TensorView<'_>],
        rows: NonZeroUsize,
    ) -> Result<Option<Vec<Class>>, OutputMismatch> {
        let Some(output) = &self.labels else {
            return Ok(None);
        };
        let tensor = output.find(outputs)?;
        let labels: Vec<Class> = match tensor.data() {
            DataView::I64(numbers) => numbers.iter().copied().map(Class::Number).collect(),
            DataView::String(names) => names.iter().cloned().map(Class::Name).collect(),
            _ => return Err(output.wrong_shape(tensor, rows)),
        };
        if labels.len() == rows.get() {
            Ok(Some(labels))
        } else {
            Err(output.wrong_shape(tensor, rows))
        }
    }
}

impl OutputAt {
    fn new((index, port): (usize, &Port)) -> Self {
        Self {
            index,
            name: port.name.clone(),
        }
    }

    fn find<'o, 't>(
        &self,
        outputs: &'o [TensorView<'t>],
    ) -> Result<&'o TensorView<'t>, OutputMismatch> {
        let missing = || OutputMismatch::Missing {
            output: self.name.clone(),
        };
        outputs.get(self.index).ok_or_else(missing)
    }

    fn wrong_shape(&self, tensor: &TensorView<'_>, rows: NonZeroUsize) -> OutputMismatch {
        OutputMismatch::Shape {
            output: self.name.clone(),
            given: tensor.to_string(),
            rows: rows.get(),
        }
    }
}

/// The probabilities of a run, row by row.
struct ProbabilityRows<'t> {
    numbers: Cow<'t, [f32]>,
    columns: usize,
}

impl ProbabilityRows<'_> {
    fn rows(&self) -> ChunksExact<'_, f32> {
        self.numbers.chunks_exact(self.columns)
    }
}

/// The output called `probabilities` or `output_probability` (as skl2onnx names it), or else the
/// only one with the right type.
fn table(signature: &Signature) -> Option<OutputAt> {
    let candidates: Vec<(usize, &Port)> = signature
        .tensor_outputs()
        .enumerate()
        .filter(|(_, port)| may_be_probabilities(port))
        .collect();
    let named =
        |(_, port): &&(usize, &Port)| matches!(&*port.name, "probabilities" | "output_probability");
    match (candidates.iter().find(named), &*candidates) {
        (Some(output), _) | (None, [output]) => Some(OutputAt::new(*output)),
        (None, _) => None,
    }
}

fn may_be_probabilities(port: &Port) -> bool {
    let shape_fits = match port.shape.as_deref() {
        // Some exporters don't declare the number of classes.
        Some([Dimension::Any, Dimension::Any]) => true,
        Some([Dimension::Any, Dimension::Fixed(classes)]) => *classes > 1,
        _ => false,
    };
    is_float(port) && shape_fits
}

fn is_float(port: &Port) -> bool {
    port.element().is_some_and(ElementType::is_float)
}

/// The outputs with one class each, as skl2onnx writes them with `options={"zipmap": "columns"}`: `i0`, `i1` for
/// integers, `sham`, `sspam` for strings.
fn columns(signature: &Signature, labels: ElementType) -> Option<(Vec<OutputAt>, Classes)> {
    let outputs: Vec<(usize, &Port)> = signature
        .tensor_outputs()
        .enumerate()
        .filter(|(_, port)| is_float(port))
        .collect();
    if outputs.len() < 2 || !outputs.iter().all(|(_, port)| has_one_value(port)) {
        return None;
    }
    let names = outputs.iter().map(|(_, port)| &*port.name);
    let classes = if labels == ElementType::I64 {
        let number = |name: &str| name.strip_prefix('i')?.parse().ok();
        Classes::Numbers(names.map(number).collect::<Option<_>>()?)
    } else {
        let text = |name: &str| name.strip_prefix('s').map(str::to_owned);
        Classes::Names(names.map(text).collect::<Option<_>>()?)
    };
    Some((outputs.into_iter().map(OutputAt::new).collect(), classes))
}

/// Whether an output has one value in each row.
fn has_one_value(port: &Port) -> bool {
    // Converters of boosted trees declare one row for any number.
    matches!(port.shape.as_deref(), Some([_]))
}

fn label_port(signature: &Signature) -> Option<(usize, &Port)> {
    signature.tensor_outputs().enumerate().find(|(_, port)| {
        matches!(port.element(), Some(ElementType::I64 | ElementType::String))
            && has_one_value(port)
    })
}

fn labels(signature: &Signature) -> Option<OutputAt> {
    label_port(signature).map(OutputAt::new)
}

fn label_type(signature: &Signature) -> Option<ElementType> {
    label_port(signature)?.1.element()
}

#[cfg(test)]
mod tests;
