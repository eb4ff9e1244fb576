//! Reads a model's outputs as classes with a confidence.
//!
//! Served are models with one float input `[N, features]` and an output of class probabilities
//! `[N, classes]`, beside which there may be an output of labels `[N]`: what skl2onnx makes of
//! scikit-learn classifiers when exported with `options={"zipmap": False}`, and plain networks that
//! end in a softmax.

use std::num::NonZeroUsize;

use crate::tensor::{Data, Dimension, ElementType, Port, Signature, Tensor};

/// How far the probabilities of one row may sum from 1: rounding of 32-bit floats over many classes.
const SUM_TOLERANCE: f32 = 1e-2;

/// What a row was taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// A label of the model, or the class's position where the model has no labels.
    Number(i64),
    /// A label of the model.
    Name(String),
}

/// The class of one row, with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The class.
    pub class: Class,
    /// The highest of the class probabilities, from 0 to 1. Not finite where the row's numbers
    /// drove the model out of the range of its floats.
    pub confidence: f32,
}

/// A model that can't be served, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedModel {
    /// There isn't exactly one input.
    #[error("the model has {count} inputs ({inputs}); one float32[N, features] input is served")]
    Inputs {
        /// Number of inputs.
        count: usize,
        /// The inputs.
        inputs: String,
    },
    /// The input isn't `float32[N, features]`.
    #[error(
        "the model's input {input} is not float32[N, features]: export it with a float32 input, \
         any number of rows and a fixed number of features"
    )]
    Input {
        /// The input.
        input: String,
    },
    /// No output can be the probabilities.
    #[error(
        "none of the model's outputs ({outputs}) is float32[N, classes] with class probabilities: \
         export classifiers of scikit-learn with options={{\"zipmap\": False}}"
    )]
    NoProbabilities {
        /// The outputs.
        outputs: String,
    },
    /// More than one output may be the probabilities.
    #[error(
        "more than one of the model's outputs ({outputs}) could be the class probabilities: name \
         one of them `probabilities`"
    )]
    AmbiguousProbabilities {
        /// The outputs.
        outputs: String,
    },
    /// An output's shape in a run isn't what was declared or promised.
    #[error("the model's output {output} came with the shape {shape:?} for {rows} rows")]
    OutputShape {
        /// The output.
        output: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Rows that went in.
        rows: usize,
    },
    /// The numbers aren't probabilities.
    #[error(
        "the model's output {output} doesn't hold probabilities (a row sums to {sum}): let the \
         model end in a softmax"
    )]
    NotProbabilities {
        /// The output.
        output: String,
        /// Sum of the first row that isn't right.
        sum: String,
    },
}

/// Which of a model's outputs mean what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classifier {
    features: NonZeroUsize,
    probabilities: OutputAt,
    labels: Option<OutputAt>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OutputAt {
    index: usize,
    name: String,
}

impl Classifier {
    /// Finds the input, the probabilities and the labels.
    ///
    /// # Errors
    /// When the model isn't a classifier of the kind that is served.
    pub fn new(signature: &Signature) -> Result<Self, UnsupportedModel> {
        let features = features(&signature.inputs)?;
        let outputs = &signature.outputs;
        Ok(Self {
            features,
            probabilities: probabilities(outputs)?,
            labels: labels(outputs),
        })
    }

    /// Numbers in one row.
    #[must_use]
    pub const fn features(&self) -> NonZeroUsize {
        self.features
    }

    /// The prediction of each row.
    ///
    /// # Errors
    /// When an output hasn't the promised shape.
    pub fn predictions(
        &self,
        outputs: Vec<Tensor>,
        rows: NonZeroUsize,
    ) -> Result<Vec<Prediction>, UnsupportedModel> {
        let mut outputs: Vec<Option<Tensor>> = outputs.into_iter().map(Some).collect();
        let probabilities = take(&mut outputs, &self.probabilities);
        let probabilities = self.probability_rows(&probabilities, rows)?;
        let labels = match &self.labels {
            Some(output) => Some(label_rows(take(&mut outputs, output), output, rows)?),
            None => None,
        };
        let best: Vec<(usize, f32)> = probabilities.iter().map(|row| highest(row)).collect();
        let classes = labels.unwrap_or_else(|| {
            let position =
                |(position, _): &(usize, f32)| i64::try_from(*position).unwrap_or(i64::MAX);
            best.iter().map(position).map(Class::Number).collect()
        });
        Ok(classes
            .into_iter()
            .zip(best)
            .map(|(class, (_, confidence))| Prediction { class, confidence })
            .collect())
    }

    /// Checks on a trial run that the outputs are what they were taken for.
    ///
    /// # Errors
    /// When a shape is wrong or a row of probabilities doesn't sum to 1.
    pub fn check(&self, outputs: &[Tensor], rows: NonZeroUsize) -> Result<(), UnsupportedModel> {
        let mut outputs: Vec<Option<Tensor>> = outputs.iter().cloned().map(Some).collect();
        let probabilities = take(&mut outputs, &self.probabilities);
        for row in self.probability_rows(&probabilities, rows)? {
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
        if let Some(output) = &self.labels {
            label_rows(take(&mut outputs, output), output, rows)?;
        }
        Ok(())
    }

    fn probability_rows<'t>(
        &self,
        tensor: &'t Tensor,
        rows: NonZeroUsize,
    ) -> Result<Vec<&'t [f32]>, UnsupportedModel> {
        match (&tensor.data, &*tensor.shape) {
            (Data::Float(numbers), &[count, classes])
                if count == rows.get() && classes > 1 && numbers.len() == count * classes =>
            {
                Ok(numbers.chunks_exact(classes).collect())
            }
            _ => Err(self.probabilities.wrong_shape(tensor, rows)),
        }
    }
}

impl OutputAt {
    fn new(index: usize, port: &Port) -> Self {
        Self {
            index,
            name: port.name.clone(),
        }
    }

    fn wrong_shape(&self, tensor: &Tensor, rows: NonZeroUsize) -> UnsupportedModel {
        let output = self.name.clone();
        UnsupportedModel::OutputShape {
            output,
            shape: tensor.shape.clone(),
            rows: rows.get(),
        }
    }
}

fn features(inputs: &[Port]) -> Result<NonZeroUsize, UnsupportedModel> {
    let [input] = inputs else {
        return Err(UnsupportedModel::Inputs {
            count: inputs.len(),
            inputs: list(inputs),
        });
    };
    let unsupported = || UnsupportedModel::Input {
        input: input.to_string(),
    };
    match (&input.element, &*input.shape) {
        (ElementType::Float, &[Dimension::Any, Dimension::Fixed(features)]) => {
            NonZeroUsize::new(features).ok_or_else(unsupported)
        }
        _ => Err(unsupported()),
    }
}

/// The output called `probabilities` or `output_probability` (as skl2onnx names it), or else the
/// only one with the right type.
fn probabilities(outputs: &[Port]) -> Result<OutputAt, UnsupportedModel> {
    let candidates: Vec<(usize, &Port)> = outputs
        .iter()
        .enumerate()
        .filter(|(_, port)| may_be_probabilities(port))
        .collect();
    let named =
        |(_, port): &&(usize, &Port)| matches!(&*port.name, "probabilities" | "output_probability");
    match (candidates.iter().find(named), &*candidates) {
        (Some((index, port)), _) | (None, [(index, port)]) => Ok(OutputAt::new(*index, port)),
        (None, []) => Err(UnsupportedModel::NoProbabilities {
            outputs: list(outputs),
        }),
        (None, _) => Err(UnsupportedModel::AmbiguousProbabilities {
            outputs: list(outputs),
        }),
    }
}

fn may_be_probabilities(port: &Port) -> bool {
    let shape_fits = match &*port.shape {
        // Some exporters don't declare the number of classes.
        [Dimension::Any, Dimension::Any] => true,
        [Dimension::Any, Dimension::Fixed(classes)] => *classes > 1,
        _ => false,
    };
    port.element == ElementType::Float && shape_fits
}

fn labels(outputs: &[Port]) -> Option<OutputAt> {
    outputs
        .iter()
        .enumerate()
        .find(|(_, port)| {
            matches!(port.element, ElementType::Integer | ElementType::Text)
                && *port.shape == [Dimension::Any]
        })
        .map(|(index, port)| OutputAt::new(index, port))
}

/// The output's tensor; an empty one, which no shape check lets pass, where the backend gave none.
fn take(outputs: &mut [Option<Tensor>], output: &OutputAt) -> Tensor {
    let missing = || Tensor {
        shape: Vec::new(),
        data: Data::Float(Vec::new()),
    };
    outputs
        .get_mut(output.index)
        .and_then(Option::take)
        .unwrap_or_else(missing)
}

fn label_rows(
    tensor: Tensor,
    output: &OutputAt,
    rows: NonZeroUsize,
) -> Result<Vec<Class>, UnsupportedModel> {
    let wrong_shape = output.wrong_shape(&tensor, rows);
    let labels: Vec<Class> = match tensor.data {
        Data::Integer(numbers) => numbers.into_iter().map(Class::Number).collect(),
        Data::Text(names) => names.into_iter().map(Class::Name).collect(),
        Data::Float(_) => return Err(wrong_shape),
    };
    if labels.len() == rows.get() {
        Ok(labels)
    } else {
        Err(wrong_shape)
    }
}

/// Position and value of the highest number, the first of equal ones; NaN where any number is NaN,
/// since nothing can be said of the row then.
fn highest(row: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (position, &number) in row.iter().enumerate() {
        if number.is_nan() {
            return (position, f32::NAN);
        }
        if number > best.1 {
            best = (position, number);
        }
    }
    best
}

fn list(ports: &[Port]) -> String {
    ports
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests;
