//! Tasks of text models: which one a model has, and how its answers are read.

use springtide_contract::task::Task;
use springtide_inference::{Dimension, Signature};

use super::configuration::{CrossEncoder, Problem, TextConfiguration};
use super::errors::TextModelError;
use super::inputs::TextInputs;
use super::outputs::{
    EmbeddingOutput, class_output, embedding_output, has_logits, named_embedding_output, shown,
};
use super::reading::Reading;
use super::tokenizer::TOKENIZER_FILE;
use crate::activation::Activation;
use crate::folder::{FolderError, ModelFolder};

/// The text task of a model, from its signature and the files beside it. None for other models, and for text models of
/// which the task isn't clear.
///
/// # Errors
/// When a file of a text model can't be used.
pub fn detect(folder: &ModelFolder, signature: &Signature) -> Result<Option<Task>, FolderError> {
    if TextInputs::new(signature).is_err() || !folder.contains(TOKENIZER_FILE) {
        return Ok(None);
    }
    let configuration = TextConfiguration::read(folder)?;
    Ok(detected(&configuration, signature))
}

fn detected(configuration: &TextConfiguration, signature: &Signature) -> Option<Task> {
    let architecture = configuration.architecture.as_deref().unwrap_or_default();
    if architecture.ends_with("ForTokenClassification") && class_output(signature, 3).is_some() {
        return Some(Task::TokenClassification);
    }
    let is_sequence_classifier = architecture.ends_with("ForSequenceClassification");
    // Without its configuration, a classifier is known by the name of its output. An output of three dimensions would
    // also be a language model's.
    let is_unnamed = architecture.is_empty() && has_logits(signature, 2);
    if let Some(output) = class_output(signature, 2)
        && (is_sequence_classifier || is_unnamed)
    {
        let classes = columns(signature, output).or(configuration.classes);
        let is_pair = configuration.cross_encoder.is_some() || classes == Some(1);
        return Some(if is_pair {
            Task::TextPair
        } else {
            Task::TextClassification
        });
    }
    // The architecture of an exported embedding model may still be that of its training, such as `BertForMaskedLM`.
    let is_embedding = named_embedding_output(signature).is_some()
        || (configuration.modules.declared && embedding_output(signature).is_some());
    is_embedding.then_some(Task::TextEmbedding)
}

/// How the answers of a model are read for a task.
///
/// # Errors
/// When the task isn't one of text, or the model has no such answers.
pub(crate) fn reading(
    task: Task,
    configuration: &TextConfiguration,
    signature: &Signature,
) -> Result<Reading, TextModelError> {
    let refused = |expected, export| TextModelError::Outputs {
        task,
        expected,
        outputs: shown(signature),
        export,
    };
    const CLASSES: (&str, &str) = ("an output logits of floats [N, C]", "text-classification");
    const TOKEN_CLASSES: (&str, &str) = (
        "an output logits of floats [N, L, C]",
        "token-classification",
    );
    const EMBEDDINGS: (&str, &str) = (
        "an output of floats sentence_embedding [N, H] or last_hidden_state [N, L, H]",
        "feature-extraction",
    );
    let labels = || configuration.labels.clone();
    let output = |rank, (expected, export)| {
        let output = class_output(signature, rank).ok_or_else(|| refused(expected, export))?;
        match (columns(signature, output), configuration.labels.len()) {
            (Some(columns), labels) if labels != 0 && labels != columns => {
                Err(TextModelError::Classes { labels, columns })
            }
            (columns, _) => Ok((output, columns.or(configuration.classes))),
        }
    };
    match task {
        Task::TextClassification => {
            let (output, classes) = output(2, CLASSES)?;
            Ok(Reading::Classes {
                output,
                activation: class_activation(configuration.problem, classes),
                labels: labels(),
            })
        }
        Task::TextPair => {
            let (output, classes) = output(2, CLASSES)?;
            let activation = match (configuration.cross_encoder, classes) {
                (Some(CrossEncoder::Activation(activation)), _) => activation,
                (Some(CrossEncoder::Unsupported), _) => return Err(TextModelError::Activation),
                (_, Some(1)) => Activation::Sigmoid,
                _ => Activation::Identity,
            };
            Ok(match classes {
                Some(1) => Reading::Relevance { output, activation },
                _ => Reading::Classes {
                    output,
                    activation,
                    labels: labels(),
                },
            })
        }
        Task::TextEmbedding => {
            let (expected, export) = EMBEDDINGS;
            let output = embedding_output(signature).ok_or_else(|| refused(expected, export))?;
            embedding_reading(output, configuration, signature)
        }
        Task::TokenClassification => {
            let (output, _) = output(3, TOKEN_CLASSES)?;
            Ok(Reading::Entities {
                output,
                labels: labels(),
            })
        }
        Task::Tabular | Task::ImageClassification | Task::Tensor => {
            Err(TextModelError::Task { task })
        }
    }
}

fn embedding_reading(
    output: EmbeddingOutput,
    configuration: &TextConfiguration,
    signature: &Signature,
) -> Result<Reading, TextModelError> {
    let modules = &configuration.modules;
    let normalize = modules.normalize;
    match output {
        EmbeddingOutput::Sentence(output) => Ok(Reading::Sentences { output, normalize }),
        EmbeddingOutput::Tokens(_) if modules.others => Err(TextModelError::Modules),
        EmbeddingOutput::Tokens(output) => {
            match (modules.token_width, columns(signature, output)) {
                (Some(configured), Some(columns)) if configured != columns => {
                    Err(TextModelError::Width {
                        configured,
                        columns,
                    })
                }
                _ => Ok(Reading::Tokens {
                    output,
                    pooling: modules.pooling.clone(),
                    normalize,
                }),
            }
        }
    }
}

/// The activation function of a classifier, as the pipeline of transformers has it.
fn class_activation(problem: Option<Problem>, classes: Option<usize>) -> Activation {
    match (problem, classes) {
        (Some(Problem::Regression), _) => Activation::Identity,
        (Some(Problem::MultiLabel), _) | (_, Some(1)) => Activation::Sigmoid,
        _ => Activation::Softmax,
    }
}

/// Length of an output's last dimension, if it is declared.
fn columns(signature: &Signature, output: usize) -> Option<usize> {
    match signature
        .tensor_outputs()
        .nth(output)?
        .shape
        .as_deref()?
        .last()?
    {
        Dimension::Fixed(length) => Some(*length),
        Dimension::Any => None,
    }
}

#[cfg(test)]
mod tests;
