//! Errors of text models and of texts.

use springtide_contract::task::Task;

use super::inputs::InputsError;
use super::tokenizer::EncodeError;
use crate::folder::FolderError;

/// A model that can't be served for a text task. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextModelError {
    /// A file beside the model can't be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The task isn't one of text.
    #[error(
        "the task `{task}` is no text task: text tasks are text-classification, text-embedding, text-pair and \
         token-classification"
    )]
    Task {
        /// The task.
        task: Task,
    },
    /// There is no tokenizer.
    #[error(
        "text models need their tokenizer, and there is no tokenizer.json beside the model: put it there \
         (`optimum-cli export onnx` writes it), or use the task `tensor`"
    )]
    NoTokenizer,
    /// The inputs aren't those of a text model.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// No output has the answers of the task.
    #[error(
        "the task `{task}` reads {expected}, and the outputs of this model are {outputs}: export it with \
         `optimum-cli export onnx --task {export}`, or name the task that it was exported for"
    )]
    Outputs {
        /// The task.
        task: Task,
        /// What the task reads.
        expected: &'static str,
        /// The outputs.
        outputs: String,
        /// The task, as optimum names it.
        export: &'static str,
    },
    /// The files have another number of classes than the model.
    #[error(
        "id2label of config.json has {labels} classes, and the model's output has {columns} columns: use the files of \
         the export of this model"
    )]
    Classes {
        /// Number of labels.
        labels: usize,
        /// Number of columns.
        columns: usize,
    },
    /// The score of a cross-encoder has an activation function that isn't supported.
    #[error(
        "config.json names an activation function for scores that isn't supported: Sigmoid and Identity are"
    )]
    Activation,
    /// The model has modules that only the model itself can apply.
    #[error(
        "modules.json names modules other than Transformer, Pooling and Normalize, and the model doesn't apply them \
         itself: export it with an output sentence_embedding (`optimum-cli export onnx --library \
         sentence_transformers`)"
    )]
    Modules,
    /// The pooling module expects embeddings of another length.
    #[error(
        "the configuration of pooling is for embeddings of {configured} numbers, and those of the model have {columns}: \
         use the files of the export of this model"
    )]
    Width {
        /// Length in the configuration.
        configured: usize,
        /// Length of the model's.
        columns: usize,
    },
    /// The special tokens leave no place for a text.
    #[error(
        "the model takes {max_tokens} tokens, which leaves no place for texts: check model_max_length in \
         tokenizer_config.json, or export the model with a longer fixed length or with dynamic axes"
    )]
    TooFewTokens {
        /// Maximum number of tokens.
        max_tokens: usize,
    },
}

/// A text that can't be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It is too long.
    #[error("text {position} has {bytes} bytes, at most {max_bytes} are accepted")]
    TooLong {
        /// Number of the text, from 0.
        position: usize,
        /// Its bytes. Of a pair, those of the longer text.
        bytes: usize,
        /// Maximum number of bytes.
        max_bytes: usize,
    },
    /// It isn't a pair.
    #[error("the task `text-pair` takes pairs of texts, and text {position} has no second one")]
    NoPair {
        /// Number of the text, from 0.
        position: usize,
    },
    /// It is a pair.
    #[error("the task `{task}` takes single texts, and text {position} is a pair")]
    Pair {
        /// Number of the text, from 0.
        position: usize,
        /// The task.
        task: Task,
    },
    /// It has no tokens.
    #[error("text {position} has no tokens")]
    Empty {
        /// Number of the text, from 0.
        position: usize,
    },
    /// The tokenizer can't encode it.
    #[error("text {position}: {error}")]
    Encode {
        /// Number of the text, from 0.
        position: usize,
        /// The reason.
        error: EncodeError,
    },
}
