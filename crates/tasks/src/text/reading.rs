//! From the outputs of a run to answers.

use springtide_inference::TensorView;

use super::answer::{ClassScore, OutputError, TextAnswer};
use super::configuration::Side;
use super::encoded::EncodedText;
use super::entities::entities;
use super::labels::Labels;
use super::outputs::floats;
use super::pooling::{PoolingMode, normalize, pool};
use super::scores::scores;
use crate::activation::Activation;

/// How the answers of a model are read. Outputs are given by their number among the tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Scores of classes, `[N, C]`.
    Classes {
        /// The output.
        output: usize,
        /// From the output to scores.
        activation: Activation,
        /// Names of the classes.
        labels: Labels,
    },
    /// The relevance of pairs, `[N, 1]`.
    Relevance {
        /// The output.
        output: usize,
        /// From the output to scores.
        activation: Activation,
    },
    /// Embeddings of texts, `[N, H]`.
    Sentences {
        /// The output.
        output: usize,
        /// Whether embeddings are scaled to length 1.
        normalize: bool,
    },
    /// Embeddings of tokens, `[N, L, H]`.
    Tokens {
        /// The output.
        output: usize,
        /// Modes of pooling.
        pooling: Vec<PoolingMode>,
        /// Whether embeddings are scaled to length 1.
        normalize: bool,
    },
    /// Scores of the classes of tokens, `[N, L, C]`.
    Entities {
        /// The output.
        output: usize,
        /// Names of the classes.
        labels: Labels,
    },
}

impl Reading {
    /// The answers for texts of one padded length, from the outputs of their run.
    ///
    /// # Errors
    /// When the outputs don't fit the texts.
    pub fn read(
        &self,
        outputs: &[TensorView<'_>],
        texts: &[EncodedText],
        padding: Side,
    ) -> Result<Vec<TextAnswer>, OutputError> {
        match self {
            Self::Classes {
                output,
                activation,
                labels,
            } => each_row(outputs, *output, texts, None, |row, _| {
                let scores = scores(*activation, row).into_iter().enumerate();
                let score = |(column, score)| ClassScore {
                    class: labels.name(column),
                    score,
                };
                Some(TextAnswer::Classes(scores.map(score).collect()))
            }),
            Self::Relevance { output, activation } => {
                each_row(outputs, *output, texts, Some(1), |row, _| {
                    let score = scores(*activation, row).first().copied();
                    score.map(TextAnswer::Relevance)
                })
            }
            Self::Sentences {
                output,
                normalize: scaled,
            } => each_row(outputs, *output, texts, None, |row, _| {
                let mut embedding = row.to_vec();
                if *scaled {
                    normalize(&mut embedding);
                }
                Some(TextAnswer::Embedding(embedding))
            }),
            Self::Tokens {
                output,
                pooling,
                normalize: scaled,
            } => each_token_row(outputs, *output, texts, padding, |row, width, _| {
                let mut embedding = pool(pooling, row, width);
                if *scaled {
                    normalize(&mut embedding);
                }
                Some(TextAnswer::Embedding(embedding))
            }),
            Self::Entities { output, labels } => {
                each_token_row(outputs, *output, texts, padding, |row, width, text| {
                    let places = text.places.as_ref()?;
                    entities(labels, places, row, width).map(TextAnswer::Entities)
                })
            }
        }
    }
}

/// Whether all numbers of an answer are finite.
fn is_finite(answer: &TextAnswer) -> bool {
    match answer {
        TextAnswer::Classes(scores) => scores.iter().all(|score| score.score.is_finite()),
        TextAnswer::Embedding(embedding) => embedding.iter().all(|value| value.is_finite()),
        TextAnswer::Relevance(score) => score.is_finite(),
        // Their scores are means of probabilities.
        TextAnswer::Entities(_) => true,
    }
}

fn output<'a, 'b>(
    outputs: &'a [TensorView<'b>],
    index: usize,
) -> Result<&'a TensorView<'b>, OutputError> {
    outputs.get(index).ok_or(OutputError::Missing { index })
}

fn mismatch(output: &TensorView<'_>, expected: impl Into<String>) -> OutputError {
    OutputError::Shape {
        given: output.to_string(),
        expected: expected.into(),
    }
}

/// The answers of an output with a row for each text: `[N, width]`, and `[N]` for a width of 1.
fn each_row(
    outputs: &[TensorView<'_>],
    index: usize,
    texts: &[EncodedText],
    width: Option<usize>,
    answer: impl Fn(&[f32], &EncodedText) -> Option<TextAnswer>,
) -> Result<Vec<TextAnswer>, OutputError> {
    let output = output(outputs, index)?;
    let found = match output.shape() {
        [rows] if *rows == texts.len() && width == Some(1) => 1,
        [rows, found] if *rows == texts.len() && *found > 0 => *found,
        _ => 0,
    };
    if found == 0 || width.is_some_and(|width| width != found) {
        let width = width.map_or("H".to_owned(), |width| width.to_string());
        return Err(mismatch(output, format!("[{}, {width}]", texts.len())));
    }
    let values = floats(output)?;
    let rows = values.chunks_exact(found).zip(texts).enumerate();
    rows.map(|(position, (row, text))| {
        answer(row, text)
            .filter(is_finite)
            .ok_or(OutputError::NotFinite { position })
    })
    .collect()
}

/// The answers of an output with a row for each token, `[N, L, width]`. `answer` gets the rows of a text's tokens
/// without those of padding, and the width.
fn each_token_row(
    outputs: &[TensorView<'_>],
    index: usize,
    texts: &[EncodedText],
    padding: Side,
    answer: impl Fn(&[f32], usize, &EncodedText) -> Option<TextAnswer>,
) -> Result<Vec<TextAnswer>, OutputError> {
    let output = output(outputs, index)?;
    let length = texts.first().map_or(0, |text| text.padded_length);
    let fits = |text: &EncodedText| text.padded_length == length && text.tokens() <= length;
    let fit = texts.iter().all(fits);
    let width = match output.shape() {
        [rows, found, width] if fit && (*rows, *found) == (texts.len(), length) => *width,
        _ => 0,
    };
    if width == 0 {
        return Err(mismatch(output, format!("[{}, {length}, H]", texts.len())));
    }
    let values = floats(output)?;
    let mut answers = Vec::with_capacity(texts.len());
    for (position, text) in texts.iter().enumerate() {
        let start = match padding {
            Side::Right => position * length,
            Side::Left => (position + 1) * length - text.tokens(),
        };
        let row = values.get(start * width..(start + text.tokens()) * width);
        let row = row.ok_or_else(|| mismatch(output, "of the texts"))?;
        let answer = answer(row, width, text).filter(is_finite);
        answers.push(answer.ok_or(OutputError::NotFinite { position })?);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests;
