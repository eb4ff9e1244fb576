//! Reads a model's outputs as classes with a confidence.
//!
//! Read are models with one 32-bit float input `[N, features]` and an output of class probabilities
//! `[N, classes]`, beside which there may be an output of labels `[N]`: what skl2onnx makes of
//! scikit-learn classifiers when exported with `options={"zipmap": False}`, and plain networks that
//! end in a softmax. Other models are served as they are, through the Open Inference Protocol.
//!
//! A label needn't be that of the highest probability (a support vector machine votes, a tuned
//! threshold isn't 0.5), so a confidence is only told where it is known which column of the
//! probabilities is the label's: see [`label_columns`].

mod class;
pub mod label_columns;

use std::num::NonZeroUsize;

pub use self::class::Class;
use self::label_columns::{Classes, LabelColumns, argmax};
use crate::data::DataView;
use crate::element::ElementType;
use crate::signature::{Dimension, Port, Signature};
use crate::tensor::TensorView;

/// How far the probabilities of one row may sum from 1: rounding of 32-bit floats over many classes.
const SUM_TOLERANCE: f32 = 1e-2;

/// The class of one row, with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The class.
    pub class: Class,
    /// The probability of this class, from 0 to 1. Not finite where the row's numbers drove the model
    /// out of the range of its floats. None where it isn't known which of the probabilities is that
    /// of the class.
    pub confidence: Option<f32>,
}

/// A model whose outputs can't be read as classes, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedModel {
    /// There isn't exactly one input.
    #[error(
        "/predict serves models with one float32[N, features] input, and this one has {count} \
         ({inputs}): use POST /v2/models/<name>/infer"
    )]
    Inputs {
        /// Number of inputs.
        count: usize,
        /// The inputs.
        inputs: String,
    },
    /// The input isn't `float32[N, features]`.
    #[error(
        "/predict serves models with a float32[N, features] input, and this one's is {input}: use \
         POST /v2/models/<name>/infer, or export the model with a float32 input, any number of rows \
         and a fixed number of features"
    )]
    Input {
        /// The input.
        input: String,
    },
    /// No output can be the probabilities.
    #[error(
        "/predict serves classifiers, which have a float32[N, classes] output of class probabilities. \
         The outputs of this model are {outputs}: use the Open Inference Protocol, POST \
         /v2/models/<name>/infer{hint}",
        hint = zipmap_hint(outputs)
    )]
    NoProbabilities {
        /// The outputs.
        outputs: String,
    },
    /// More than one output may be the probabilities.
    #[error(
        "/predict can't tell which of the model's outputs ({outputs}) are the class probabilities: \
         use POST /v2/models/<name>/infer, or name one of them `probabilities`"
    )]
    AmbiguousProbabilities {
        /// The outputs.
        outputs: String,
    },
    /// An output's shape in a run isn't what was declared or promised.
    #[error(
        "the model's output {output} came as {given} for {rows} rows, which /predict can't read: \
         use POST /v2/models/<name>/infer"
    )]
    OutputShape {
        /// The output.
        output: String,
        /// What came: `float32[2, 3]`.
        given: String,
        /// Rows that went in.
        rows: usize,
    },
    /// A run didn't give the output.
    #[error("the model didn't give its output {output}")]
    OutputMissing {
        /// The output.
        output: String,
    },
    /// The numbers aren't probabilities.
    #[error(
        "/predict serves class probabilities, and the model's output {output} doesn't hold any (a \
         row sums to {sum}): use POST /v2/models/<name>/infer, or let the model end in a softmax"
    )]
    NotProbabilities {
        /// The output.
        output: String,
        /// Sum of the first row that isn't right.
        sum: String,
    },
}

/// Advice for a classifier of scikit-learn whose probabilities are maps. Other models have no such output.
fn zipmap_hint(outputs: &str) -> &'static str {
    if outputs.contains("Map<") {
        ", or export the classifier of scikit-learn with options={\"zipmap\": False}"
    } else {
        ""
    }
}

/// Which of a model's outputs mean what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classifier {
    features: NonZeroUsize,
    probabilities: OutputAt,
    labels: Option<OutputAt>,
    label_columns: LabelColumns,
}

/// An output, by its place among those that a run gives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OutputAt {
    index: usize,
    name: String,
}

impl Classifier {
    /// Finds the input, the probabilities and the labels.
    ///
    /// # Errors
    /// When the model isn't a classifier of the kind that is read.
    pub fn new(signature: &Signature) -> Result<Self, UnsupportedModel> {
        Ok(Self {
            features: features(&signature.required_inputs().collect::<Vec<_>>())?,
            probabilities: probabilities(signature)?,
            labels: labels(signature),
            label_columns: LabelColumns::default(),
        })
    }

    /// The same, where the model says what its classes are, in the order of the columns of its
    /// probabilities.
    #[must_use]
    pub fn with_classes(self, classes: Classes) -> Self {
        Self {
            label_columns: LabelColumns::declared(classes),
            ..self
        }
    }

    /// Name of the output that holds the probabilities.
    #[must_use]
    pub fn probabilities(&self) -> &str {
        &self.probabilities.name
    }

    /// Numbers in one row.
    #[must_use]
    pub const fn features(&self) -> NonZeroUsize {
        self.features
    }

    /// The prediction of each of `rows` rows. The outputs are those of a run, cut to these rows.
    ///
    /// # Errors
    /// When an output is missing or hasn't the promised shape.
    pub fn predictions(
        &self,
        outputs: &[TensorView<'_>],
        rows: NonZeroUsize,
    ) -> Result<Vec<Prediction>, UnsupportedModel> {
        let probabilities = self.probability_rows(outputs, rows)?;
        let labels = self.label_rows(outputs, rows)?;
        let Some(labels) = labels else {
            return Ok(probabilities.map(|row| self.of_highest(row)).collect());
        };
        Ok(labels
            .into_iter()
            .zip(probabilities)
            .map(|(class, row)| Prediction {
                confidence: self.confidence(&class, row),
                class,
            })
            .collect())
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
            // Nothing can be said of the row.
            return Some(best);
        }
        let column = self.label_columns.column(label, row)?;
        row.get(column).copied()
    }

    /// Whether trial runs can show anything: there are labels, and the model doesn't say its classes.
    #[must_use]
    pub const fn learns_labels(&self) -> bool {
        self.labels.is_some() && matches!(self.label_columns, LabelColumns::Learned(_))
    }

    /// Learns from a trial run which probability belongs to which label. Does nothing where the
    /// outputs aren't as promised. The rows should differ: zeros show one label.
    pub fn learn(&mut self, outputs: &[TensorView<'_>], rows: NonZeroUsize) {
        let Ok(Some(labels)) = self.label_rows(outputs, rows) else {
            return;
        };
        let Ok(probabilities) = self.probability_rows(outputs, rows) else {
            return;
        };
        let mut before = None;
        for (label, row) in labels.iter().zip(probabilities) {
            // A batch of zeros shows no more than one row of them.
            if before != Some((label, row)) {
                self.label_columns.learn(label.clone(), row);
            }
            before = Some((label, row));
        }
    }

    /// Checks on a trial run that the outputs are what they were taken for, and learns from it
    /// ([`Self::learn`]).
    ///
    /// # Errors
    /// When a shape is wrong or a row of probabilities doesn't sum to 1.
    pub fn check(
        &mut self,
        outputs: &[TensorView<'_>],
        rows: NonZeroUsize,
    ) -> Result<(), UnsupportedModel> {
        for row in self.probability_rows(outputs, rows)? {
            let sum: f32 = row.iter().sum();
            if sum.is_nan() {
                // The trial's numbers are outside of what the model can take, the logarithm of 0 for
                // example. That says nothing about others.
                continue;
            }
            let probable = row
                .iter()
                .all(|number| (0.0..=1.0 + SUM_TOLERANCE).contains(number));
            if !probable || (sum - 1.0).abs() > SUM_TOLERANCE {
                let output = self.probabilities.name.clone();
                return Err(UnsupportedModel::NotProbabilities {
                    output,
                    sum: sum.to_string(),
                });
            }
        }
        self.label_rows(outputs, rows)?;
        self.learn(outputs, rows);
        Ok(())
    }

    fn probability_rows<'t>(
        &self,
        outputs: &[TensorView<'t>],
        rows: NonZeroUsize,
    ) -> Result<std::slice::ChunksExact<'t, f32>, UnsupportedModel> {
        let tensor = self.probabilities.find(outputs)?;
        match (tensor.data(), tensor.shape()) {
            (DataView::F32(numbers), &[count, classes]) if count == rows.get() && classes > 1 => {
                Ok(numbers.chunks_exact(classes))
            }
            _ => Err(self.probabilities.wrong_shape(tensor, rows)),
        }
    }

    fn label_rows(
        &self,
        outputs: &[TensorView<'_>],
        rows: NonZeroUsize,
    ) -> Result<Option<Vec<Class>>, UnsupportedModel> {
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
    ) -> Result<&'o TensorView<'t>, UnsupportedModel> {
        let missing = || UnsupportedModel::OutputMissing {
            output: self.name.clone(),
        };
        outputs.get(self.index).ok_or_else(missing)
    }

    fn wrong_shape(&self, tensor: &TensorView<'_>, rows: NonZeroUsize) -> UnsupportedModel {
        UnsupportedModel::OutputShape {
            output: self.name.clone(),
            given: tensor.to_string(),
            rows: rows.get(),
        }
    }
}

fn features(inputs: &[&Port]) -> Result<NonZeroUsize, UnsupportedModel> {
    let [input] = inputs else {
        return Err(UnsupportedModel::Inputs {
            count: inputs.len(),
            inputs: list(inputs.iter().copied()),
        });
    };
    let unsupported = || UnsupportedModel::Input {
        input: input.to_string(),
    };
    match (input.element(), input.shape.as_deref()) {
        (Some(ElementType::F32), Some(&[Dimension::Any, Dimension::Fixed(features)])) => {
            NonZeroUsize::new(features).ok_or_else(unsupported)
        }
        _ => Err(unsupported()),
    }
}

/// The output called `probabilities` or `output_probability` (as skl2onnx names it), or else the
/// only one with the right type.
fn probabilities(signature: &Signature) -> Result<OutputAt, UnsupportedModel> {
    let candidates: Vec<(usize, &Port)> = signature
        .tensor_outputs()
        .enumerate()
        .filter(|(_, port)| may_be_probabilities(port))
        .collect();
    let named =
        |(_, port): &&(usize, &Port)| matches!(&*port.name, "probabilities" | "output_probability");
    let outputs = || list(signature.outputs.iter());
    match (candidates.iter().find(named), &*candidates) {
        (Some(output), _) | (None, [output]) => Ok(OutputAt::new(*output)),
        (None, []) => Err(UnsupportedModel::NoProbabilities { outputs: outputs() }),
        (None, _) => Err(UnsupportedModel::AmbiguousProbabilities { outputs: outputs() }),
    }
}

fn may_be_probabilities(port: &Port) -> bool {
    let shape_fits = match port.shape.as_deref() {
        // Some exporters don't declare the number of classes.
        Some([Dimension::Any, Dimension::Any]) => true,
        Some([Dimension::Any, Dimension::Fixed(classes)]) => *classes > 1,
        _ => false,
    };
    port.element() == Some(ElementType::F32) && shape_fits
}

fn labels(signature: &Signature) -> Option<OutputAt> {
    signature
        .tensor_outputs()
        .enumerate()
        .find(|(_, port)| {
            matches!(port.element(), Some(ElementType::I64 | ElementType::String))
                && port.shape.as_deref() == Some(&[Dimension::Any])
        })
        .map(OutputAt::new)
}

fn list<'p>(ports: impl Iterator<Item = &'p Port>) -> String {
    ports
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests;
