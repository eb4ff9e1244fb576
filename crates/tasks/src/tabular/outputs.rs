//! Reads the outputs of a tabular model: as classes, or as numbers and texts by the names of the outputs.

use std::num::NonZeroUsize;

use springtide_inference::{
    Class, Classes, Classifier, DataView, OutputMismatch, Signature, TensorView,
};

use crate::answer::{Answer, Value, top};
use crate::request::Options;

/// Maximum number of nested lists of an answer.
const MAX_DEPTH: usize = 16;

/// Outputs of a run that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableOutputs {
    /// They aren't what the model declares.
    #[error(transparent)]
    Mismatch(#[from] OutputMismatch),
    /// The request asks for probabilities that the model doesn't have.
    #[error(
        "must not be set: the model has no class probabilities, or doesn't say which class each one \
         belongs to (export a classifier of scikit-learn with its ZipMap, the default of skl2onnx)"
    )]
    NoProbabilities,
}

/// How the outputs of a model are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputReader {
    /// As classes.
    Classes(Classifier),
    /// As values, by the names of the outputs.
    Values(Vec<String>),
}

impl OutputReader {
    /// Decides by the declared outputs. `classes` are the names of the columns of outputs that hold class
    /// probabilities, by the outputs' names.
    #[must_use]
    pub fn new(signature: &Signature, classes: &[(String, Classes)]) -> Self {
        let Some(classifier) = Classifier::new(signature) else {
            return Self::values(signature);
        };
        let of_probabilities = classes
            .iter()
            .find(|(output, _)| Some(&**output) == classifier.probabilities());
        Self::Classes(match of_probabilities {
            Some((_, classes)) => classifier.with_classes(classes.clone()),
            None => classifier,
        })
    }

    fn values(signature: &Signature) -> Self {
        Self::Values(
            signature
                .tensor_outputs()
                .map(|port| port.name.clone())
                .collect(),
        )
    }

    /// Adapts the decision to the outputs of a trial run: what isn't a class probability is read as a number.
    pub fn check(&mut self, signature: &Signature, outputs: &[TensorView<'_>], rows: NonZeroUsize) {
        if let Self::Classes(classifier) = self
            && classifier.check(outputs, rows).is_err()
        {
            *self = match classifier.clone().without_probabilities() {
                Some(labels) if labels.clone().check(outputs, rows).is_ok() => {
                    Self::Classes(labels)
                }
                _ => Self::values(signature),
            };
        }
    }

    /// Whether the predictions are classes.
    #[must_use]
    pub const fn is_classifier(&self) -> bool {
        matches!(self, Self::Classes(_))
    }

    /// The classes that the model declares, in the order of its probabilities.
    #[must_use]
    pub fn declared_classes(&self) -> Vec<String> {
        let declared = match self {
            Self::Classes(classifier) => classifier.declared_classes(),
            Self::Values(_) => &[],
        };
        let name = |class: &Class| match class {
            Class::Number(number) => number.to_string(),
            Class::Name(name) => name.clone(),
        };
        declared.iter().map(name).collect()
    }

    /// The answers for `rows` rows, from the outputs of a run for these rows.
    ///
    /// # Errors
    /// When an output has another shape, and when the options ask for probabilities that the model doesn't have.
    pub fn read(
        &self,
        outputs: &[TensorView<'_>],
        rows: NonZeroUsize,
        options: &Options,
    ) -> Result<Vec<Answer>, UnreadableOutputs> {
        match self {
            Self::Classes(classifier) => classes(classifier, outputs, rows, options),
            Self::Values(_) if options.probabilities => Err(UnreadableOutputs::NoProbabilities),
            Self::Values(names) => Ok(values(names, outputs, rows)?),
        }
    }
}

fn classes(
    classifier: &Classifier,
    outputs: &[TensorView<'_>],
    rows: NonZeroUsize,
    options: &Options,
) -> Result<Vec<Answer>, UnreadableOutputs> {
    let answer = |class, confidence| Answer {
        prediction: match class {
            Class::Number(number) => Value::Integer(number),
            Class::Name(name) => Value::Text(name),
        },
        confidence,
        probabilities: None,
        truncated: false,
    };
    let predictions = classifier.predictions(outputs, rows)?.into_iter();
    let mut answers: Vec<Answer> = predictions
        .map(|prediction| answer(prediction.class, prediction.confidence))
        .collect();
    if options.probabilities {
        let by_class = classifier.class_probabilities(outputs, rows)?;
        let by_class = by_class.ok_or(UnreadableOutputs::NoProbabilities)?;
        for (answer, row) in answers.iter_mut().zip(by_class) {
            let named = row.into_iter().map(|(class, probability)| match class {
                Class::Number(number) => (number.to_string(), probability),
                Class::Name(name) => (name, probability),
            });
            answer.probabilities = Some(top(named.collect(), options.top_k));
        }
    }
    Ok(answers)
}

fn values(
    names: &[String],
    outputs: &[TensorView<'_>],
    rows: NonZeroUsize,
) -> Result<Vec<Answer>, OutputMismatch> {
    let mut by_row: Vec<Vec<Value>> = vec![Vec::with_capacity(names.len()); rows.get()];
    for (at, name) in names.iter().enumerate() {
        let missing = || OutputMismatch::Missing {
            output: name.clone(),
        };
        let output = outputs.get(at).ok_or_else(missing)?;
        let mismatch = || OutputMismatch::Shape {
            output: name.clone(),
            given: output.to_string(),
            rows: rows.get(),
        };
        let (&count, shape) = output.shape().split_first().ok_or_else(mismatch)?;
        if count != rows.get() || shape.len() > MAX_DEPTH {
            return Err(mismatch());
        }
        let elements: usize = shape.iter().product();
        for (row, values) in by_row.iter_mut().enumerate() {
            let data = output.data().get(row * elements..(row + 1) * elements);
            values.push(value(data.ok_or_else(mismatch)?, shape));
        }
    }
    let answer = |mut values: Vec<Value>| {
        Answer::of(match (values.len(), values.pop()) {
            (1, Some(only)) => only,
            (_, last) => Value::Named(
                names
                    .iter()
                    .cloned()
                    .zip(values.into_iter().chain(last))
                    .collect(),
            ),
        })
    };
    Ok(by_row.into_iter().map(answer).collect())
}

/// The value of a row. A row of one number is the number: `[N, 1]` is what regressors give.
fn value(data: DataView<'_>, shape: &[usize]) -> Value {
    match shape {
        [] | [1] => scalar(data),
        [_] => list(data),
        [_, inner @ ..] => {
            let elements: usize = inner.iter().product();
            let parts = 0..data.len().checked_div(elements).unwrap_or_default();
            let part = |at: usize| data.get(at * elements..(at + 1) * elements);
            // A list of one number inside of another list is a list.
            let nested = |data| {
                if inner.len() == 1 {
                    list(data)
                } else {
                    value(data, inner)
                }
            };
            Value::List(parts.filter_map(part).map(nested).collect())
        }
    }
}

fn scalar(data: DataView<'_>) -> Value {
    match list(data) {
        Value::Floats(numbers) => numbers
            .first()
            .copied()
            .map_or(Value::List(Vec::new()), Value::Float),
        Value::List(mut values) => values.pop().unwrap_or_else(|| Value::List(Vec::new())),
        other => other,
    }
}

fn list(data: DataView<'_>) -> Value {
    fn values<T: Clone>(all: &[T], value: impl Fn(T) -> Value) -> Value {
        Value::List(all.iter().cloned().map(value).collect())
    }
    match data {
        DataView::Bool(all) => values(all, Value::Boolean),
        DataView::U8(all) => values(all, |number| Value::Unsigned(number.into())),
        DataView::U16(all) => values(all, |number| Value::Unsigned(number.into())),
        DataView::U32(all) => values(all, |number| Value::Unsigned(number.into())),
        DataView::U64(all) => values(all, Value::Unsigned),
        DataView::I8(all) => values(all, |number| Value::Integer(number.into())),
        DataView::I16(all) => values(all, |number| Value::Integer(number.into())),
        DataView::I32(all) => values(all, |number| Value::Integer(number.into())),
        DataView::I64(all) => values(all, Value::Integer),
        DataView::F16(all) => Value::Floats(all.iter().map(|number| number.to_f32()).collect()),
        DataView::Bf16(all) => Value::Floats(all.iter().map(|number| number.to_f32()).collect()),
        DataView::F32(all) => Value::Floats(all.to_vec()),
        DataView::F64(all) => values(all, Value::Double),
        DataView::String(all) => values(all, Value::Text),
    }
}

#[cfg(test)]
mod tests {
    use springtide_inference::{Dimension, ElementType, Port, Tensor};

    use super::*;

    const ANY: Dimension = Dimension::Any;

    fn signature(outputs: Vec<Port>) -> Signature {
        let inputs = vec![Port::tensor(
            "x",
            ElementType::F32,
            [ANY, Dimension::Fixed(4)],
        )];
        Signature { inputs, outputs }
    }

    fn rows(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    fn read(
        reader: &OutputReader,
        outputs: &[Tensor],
        count: usize,
        options: &Options,
    ) -> Result<String, UnreadableOutputs> {
        let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
        let answers = reader.read(&views, rows(count), options)?;
        let predictions: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.prediction)
            .collect();
        Ok(serde_json::to_string(&predictions).unwrap())
    }

    #[test]
    fn a_regressor_predicts_numbers() {
        for (shape, output) in [
            (vec![2, 1], [ANY, Dimension::Fixed(1)].to_vec()),
            (vec![2], [ANY].to_vec()),
        ] {
            let reader = OutputReader::new(
                &signature(vec![Port::tensor("variable", ElementType::F32, output)]),
                &[],
            );
            let outputs = [Tensor::new(shape, vec![1.5_f32, 0.1]).unwrap()];
            assert_eq!(
                read(&reader, &outputs, 2, &Options::default()).unwrap(),
                "[1.5,0.1]"
            );
            let probabilities = Options {
                probabilities: true,
                ..Options::default()
            };
            let refused = read(&reader, &outputs, 2, &probabilities);
            assert_eq!(refused, Err(UnreadableOutputs::NoProbabilities));
        }
    }

    #[test]
    fn several_outputs_are_named_and_inner_dimensions_are_lists() {
        let two = Dimension::Fixed(2);
        let outputs = vec![
            Port::tensor("mean", ElementType::F64, [ANY]),
            Port::tensor("box", ElementType::I32, [ANY, two, two]),
            Port::tensor("column", ElementType::F32, [ANY, two, Dimension::Fixed(1)]),
        ];
        let reader = OutputReader::new(&signature(outputs), &[]);
        let outputs = [
            Tensor::new(vec![1], vec![0.1_f64]).unwrap(),
            Tensor::new(vec![1, 2, 2], vec![1, 2, 3, 4]).unwrap(),
            Tensor::new(vec![1, 2, 1], vec![0.5_f32, 0.25]).unwrap(),
        ];
        let expected = r#"[{"mean":0.1,"box":[[1,2],[3,4]],"column":[[0.5],[0.25]]}]"#;
        assert_eq!(
            read(&reader, &outputs, 1, &Options::default()).unwrap(),
            expected
        );
        let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
        let mismatch = reader.read(&views, rows(2), &Options::default());
        assert!(matches!(
            mismatch,
            Err(UnreadableOutputs::Mismatch(OutputMismatch::Shape { .. }))
        ));
        let missing = reader.read(&views[..1], rows(1), &Options::default());
        assert!(matches!(
            missing,
            Err(UnreadableOutputs::Mismatch(OutputMismatch::Missing { .. }))
        ));
    }

    #[test]
    fn what_a_trial_run_shows_to_be_no_probability_is_a_number() {
        let softmax = Port::tensor("scores", ElementType::F32, [ANY, Dimension::Fixed(2)]);
        let model = signature(vec![softmax.clone()]);
        let mut reader = OutputReader::new(&model, &[]);
        assert!(reader.is_classifier());
        let outputs = [Tensor::new(vec![1, 2], vec![3.0_f32, -1.0]).unwrap()];
        let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
        reader.check(&model, &views, rows(1));
        assert!(!reader.is_classifier());
        assert_eq!(
            read(&reader, &outputs, 1, &Options::default()).unwrap(),
            "[[3.0,-1.0]]"
        );

        let model = signature(vec![
            Port::tensor("label", ElementType::I64, [ANY]),
            softmax,
        ]);
        let mut reader = OutputReader::new(&model, &[]);
        let outputs = [
            Tensor::new(vec![1], vec![7_i64]).unwrap(),
            outputs[0].clone(),
        ];
        let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
        reader.check(&model, &views, rows(1));
        assert_eq!(
            read(&reader, &outputs, 1, &Options::default()).unwrap(),
            "[7]"
        );
    }

    #[test]
    fn probabilities_are_by_class_and_the_highest_come_first_with_a_maximum() {
        let model = signature(vec![Port::tensor(
            "softmax",
            ElementType::F32,
            [ANY, Dimension::Fixed(3)],
        )]);
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let reader = OutputReader::new(&model, &[("softmax".to_owned(), Classes::Names(names))]);
        let output = Tensor::new(vec![1, 3], vec![0.25_f32, 0.5, 0.25]).unwrap();
        let probabilities = |top_k| {
            let options = Options {
                probabilities: true,
                top_k,
                ..Options::default()
            };
            let answers = reader.read(&[output.view()], rows(1), &options).unwrap();
            answers[0].probabilities.clone().unwrap()
        };
        let named = |all: &[(&str, f32)]| {
            all.iter()
                .map(|(name, one)| ((*name).to_owned(), *one))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            probabilities(None),
            named(&[("a", 0.25), ("b", 0.5), ("c", 0.25)])
        );
        assert_eq!(
            probabilities(NonZeroUsize::new(2)),
            named(&[("b", 0.5), ("a", 0.25)])
        );
    }
}
