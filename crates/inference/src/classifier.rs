//! Reads a model's outputs as classes with a confidence.
//!
//! Supported are models with one 32-bit float input `[N, features]`, an output of class probabilities
//! `[N, classes]` and optionally an output of labels `[N]`. These are classifiers of scikit-learn, exported with
//! `options={"zipmap": False}`, and networks that end in a softmax. Other models are served through the Open
//! Inference Protocol.
//!
//! A label may differ from the class with the highest probability: a support vector machine votes, and a tuned
//! threshold isn't 0.5. A confidence is therefore given only where the label's column is known: see
//! [`label_columns`].

mod class;
pub mod label_columns;

use std::num::NonZeroUsize;

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

/// A model whose outputs can't be read as classes. The text says what to do.
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
    /// No output has the shape of class probabilities.
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
    /// Several outputs have the shape of class probabilities.
    #[error(
        "/predict can't tell which of the model's outputs ({outputs}) are the class probabilities: \
         use POST /v2/models/<name>/infer, or name one of them `probabilities`"
    )]
    AmbiguousProbabilities {
        /// The outputs.
        outputs: String,
    },
    /// The shape of an output in a run isn't the declared one.
    #[error(
        "the model's output {output} is {given} for {rows} rows, which /predict can't read: \
         use POST /v2/models/<name>/infer"
    )]
    OutputShape {
        /// The output.
        output: String,
        /// Its type and shape: `float32[2, 3]`.
        given: String,
        /// Rows of the input.
        rows: usize,
    },
    /// A run lacks the output.
    #[error("the model didn't give its output {output}")]
    OutputMissing {
        /// The output.
        output: String,
    },
    /// The values aren't probabilities.
    #[error(
        "/predict serves class probabilities, and the model's output {output} doesn't hold any (a \
         row sums to {sum}): use POST /v2/models/<name>/infer, or let the model end in a softmax"
    )]
    NotProbabilities {
        /// The output.
        output: String,
        /// Sum of the first invalid row.
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

/// The outputs of a classifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classifier {
    features: NonZeroUsize,
    probabilities: OutputAt,
    labels: Option<OutputAt>,
    label_columns: LabelColumns,
}

/// An output, by its position among those of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OutputAt {
    index: usize,
    name: String,
}

impl Classifier {
    /// Finds the input, the probabilities and the labels.
    ///
    /// # Errors
    /// When the model isn't a supported classifier.
    pub fn new(signature: &Signature) -> Result<Self, UnsupportedModel> {
        Ok(Self {
            features: features(&signature.required_inputs().collect::<Vec<_>>())?,
            probabilities: probabilities(signature)?,
            labels: labels(signature),
            label_columns: LabelColumns::default(),
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

    /// Name of the output with the probabilities.
    #[must_use]
    pub fn probabilities(&self) -> &str {
        &self.probabilities.name
    }

    /// Number of features of a row.
    #[must_use]
    pub const fn features(&self) -> NonZeroUsize {
        self.features
    }

    /// The predictions of `rows` rows, from the outputs of a run for these rows.
    ///
    /// # Errors
    /// When an output is missing or has another shape.
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
            // The row has no highest probability.
            return Some(best);
        }
        let column = self.label_columns.column(label, row)?;
        row.get(column).copied()
    }

    /// Whether labels are learned from trial runs: there are labels, and the model doesn't declare its classes.
    #[must_use]
    pub const fn learns_labels(&self) -> bool {
        self.labels.is_some() && matches!(self.label_columns, LabelColumns::Learned(_))
    }

    /// Learns the columns of labels from a trial run. Outputs of another shape are ignored. The rows should differ,
    /// since equal rows show only one label.
    pub fn learn(&mut self, outputs: &[TensorView<'_>], rows: NonZeroUsize) {
        let Ok(Some(labels)) = self.label_rows(outputs, rows) else {
            return;
        };
        let Ok(probabilities) = self.probability_rows(outputs, rows) else {
            return;
        };
        let mut before = None;
        for (label, row) in labels.iter().zip(probabilities) {
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
    ) -> Result<(), UnsupportedModel> {
        for row in self.probability_rows(outputs, rows)? {
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
