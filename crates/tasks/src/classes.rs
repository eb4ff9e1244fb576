//! Classes of a model: their names, and their probabilities in its outputs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use springtide_inference::TensorView;

use crate::activation::Activation;
use crate::folder::{FolderError, ModelFolder};

/// Configuration of a model that transformers wrote.
const CONFIGURATION: &str = "config.json";

/// Names of classes, one per line.
const LABELS: &str = "labels.txt";

/// Maximum bytes of `labels.txt`.
pub const MAX_LABELS_BYTES: u64 = 4 << 20;

/// Maximum number of classes.
pub const MAX_CLASSES: usize = 1 << 18;

/// How far the sum of a row of probabilities may be from 1.
const PROBABILITIES_TOLERANCE: f64 = 1e-2;

/// Names of a model's classes, in the order of its output. Two classes may have the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    names: Vec<String>,
}

impl Classes {
    /// The classes with these names.
    #[must_use]
    pub const fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    /// The classes of `labels.txt`, one per line. None if there is no such file.
    ///
    /// # Errors
    /// When the file can't be read, isn't UTF-8, has an empty line before its end, or too many lines.
    pub fn from_labels(folder: &ModelFolder) -> Result<Option<Self>, FolderError> {
        let Some(bytes) = folder.read(LABELS, MAX_LABELS_BYTES)? else {
            return Ok(None);
        };
        let refused = |problem: &str| Err(FolderError::new(LABELS, problem));
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return refused("it is not UTF-8");
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end();
        if text.is_empty() {
            return refused("it is empty");
        }
        let mut names = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let name = line.trim();
            if name.is_empty() {
                return refused(&format!("line {} is empty", index + 1));
            }
            if index == MAX_CLASSES {
                return refused(&format!("it has more than {MAX_CLASSES} lines"));
            }
            names.push(name.to_owned());
        }
        Ok(Some(Self { names }))
    }

    /// The classes of `id2label`, whose keys are the numbers from 0, in any order.
    fn from_id2label(id2label: BTreeMap<String, String>) -> Result<Self, &'static str> {
        if id2label.len() > MAX_CLASSES {
            return Err("id2label has too many classes");
        }
        let mut names = vec![None; id2label.len()];
        for (key, name) in id2label {
            // A sign or leading zeros would let two keys have the same number.
            let number = key.parse::<usize>().ok();
            let slot = number.filter(|number| number.to_string() == key);
            match slot.and_then(|number| names.get_mut(number)) {
                Some(slot) => *slot = Some(name),
                None => return Err("the keys of id2label are not the numbers from 0"),
            }
        }
        // Every slot has a name: there are as many slots as keys, and no two keys are equal.
        Ok(Self::new(names.into_iter().flatten().collect()))
    }

    /// Number of classes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no class.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Name of each class.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Name of the class at an index of the output, and the index itself beyond the last name.
    #[must_use]
    pub fn name(&self, index: usize) -> Cow<'_, str> {
        match self.names.get(index) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(index.to_string()),
        }
    }
}

/// The activation for outputs that are not declared: the identity if in every row, the values are between 0 and 1 and
/// their sum is 1 ± 0.01, otherwise softmax.
///
/// # Errors
/// When the output has no rows of finite floats.
pub fn activation_of(output: &TensorView<'_>) -> Result<Activation, ScoresError> {
    let (values, width) = rows_of(output)?;
    let is_probability = |value: &f32| (0.0..=1.0).contains(value);
    let probabilities = values.chunks_exact(width).all(|row| {
        let sum: f64 = row.iter().copied().map(f64::from).sum();
        row.iter().all(is_probability) && (sum - 1.0).abs() <= PROBABILITIES_TOLERANCE
    });
    Ok(if probabilities {
        Activation::Identity
    } else {
        Activation::Softmax
    })
}

/// Fields about classes in the `config.json` of transformers.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassConfiguration {
    /// The classes. None if they are neither named nor counted.
    pub classes: Option<Classes>,
    /// The activation: what the pipelines of transformers apply.
    pub activation: Activation,
    /// Names of the model's classes in transformers: `ViTForImageClassification`.
    pub architectures: Vec<String>,
    /// Number of channels of an image.
    pub channels: Option<usize>,
}

/// The fields as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WrittenConfiguration {
    architectures: Option<Vec<String>>,
    id2label: Option<BTreeMap<String, String>>,
    num_channels: Option<usize>,
    num_labels: Option<usize>,
    problem_type: Option<String>,
}

impl ClassConfiguration {
    /// The fields in `config.json`. None if there is no such file.
    ///
    /// # Errors
    /// When the file can't be read or a field has an impossible value.
    pub fn read(folder: &ModelFolder) -> Result<Option<Self>, FolderError> {
        let Some(written) = folder.json::<WrittenConfiguration>(CONFIGURATION)? else {
            return Ok(None);
        };
        let refused = |problem| FolderError::new(CONFIGURATION, problem);
        let classes = match (written.id2label, written.num_labels) {
            (Some(id2label), _) => Some(Classes::from_id2label(id2label).map_err(refused)?),
            (None, Some(count)) if count > MAX_CLASSES => {
                return Err(refused("num_labels is too large"));
            }
            // The names that transformers gives.
            (None, Some(count)) => Some(Classes::new(
                (0..count).map(|index| format!("LABEL_{index}")).collect(),
            )),
            (None, None) => None,
        };
        let one_class = classes.as_ref().is_some_and(|classes| classes.len() == 1);
        let activation = match written.problem_type.as_deref() {
            Some("multi_label_classification") => Activation::Sigmoid,
            Some("regression") => Activation::Identity,
            _ if one_class => Activation::Sigmoid,
            _ => Activation::Softmax,
        };
        Ok(Some(Self {
            classes,
            activation,
            architectures: written.architectures.unwrap_or_default(),
            channels: written.num_channels,
        }))
    }
}

/// Probabilities of the classes for one row.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassScores {
    /// Probability of each class, in the order of the output.
    pub probabilities: Vec<f32>,
}

impl ClassScores {
    /// Indexes of the `count` most probable classes, the most probable one first. Equal ones keep their order.
    #[must_use]
    pub fn top(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.probabilities.len()).collect();
        let descending = |&left: &usize, &right: &usize| {
            let (left, right) = (self.probabilities.get(left), self.probabilities.get(right));
            right.unwrap_or(&0.0).total_cmp(left.unwrap_or(&0.0))
        };
        order.sort_by(descending);
        order.truncate(count);
        order
    }
}

/// An output that has no scores of classes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoresError {
    /// The run didn't give the output.
    #[error("the model gave no output for its classes")]
    Missing,
    /// It has no row of scores for each row of the input.
    #[error("the model's output is {given}, not {rows} rows of scores")]
    Shape {
        /// Its type and shape: `float32[2, 4]`.
        given: String,
        /// Number of rows of the input.
        rows: usize,
    },
    /// Its number of classes isn't the number of names.
    #[error("the model's output has {classes} classes, but {names} are named beside the model")]
    Count {
        /// Number of classes in the output.
        classes: usize,
        /// Number of names.
        names: usize,
    },
    /// A score is infinite or not a number.
    #[error("the model's output has a value that is not a finite number")]
    NotFinite,
}

/// The probabilities in an output with `rows` rows. Dimensions of length 1 behind the classes are ignored, as in
/// `float32[2, 1000, 1, 1]`.
///
/// # Errors
/// When the output has another shape, no floats, or values that aren't finite.
pub fn class_scores(
    output: &TensorView<'_>,
    rows: usize,
    activation: Activation,
) -> Result<Vec<ClassScores>, ScoresError> {
    let (values, width) = rows_of(output)?;
    if output.shape().first() != Some(&rows) {
        return Err(shape(output, rows));
    }
    let scores = values.chunks_exact(width).map(|row| {
        let mut probabilities = row.to_vec();
        activation.apply(&mut probabilities);
        ClassScores { probabilities }
    });
    Ok(scores.collect())
}

/// Values of an output, and their number per row.
fn rows_of<'a>(output: &TensorView<'a>) -> Result<(Cow<'a, [f32]>, usize), ScoresError> {
    let rows = output.shape().first().copied().unwrap_or(0);
    let width = match output.shape() {
        [_, width, rest @ ..] if *width > 0 && rest.iter().all(|&length| length == 1) => *width,
        _ => return Err(shape(output, rows)),
    };
    let values = output.data().floats().ok_or_else(|| shape(output, rows))?;
    if values.iter().all(|value| value.is_finite()) {
        Ok((values, width))
    } else {
        Err(ScoresError::NotFinite)
    }
}

fn shape(output: &TensorView<'_>, rows: usize) -> ScoresError {
    let given = output.to_string();
    ScoresError::Shape { given, rows }
}

#[cfg(test)]
mod tests;
