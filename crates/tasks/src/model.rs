//! A model's task, and how it is asked.

use springtide_contract::task::Task;
use springtide_inference::{Classes, Signature};

use crate::folder::{FolderError, ModelFolder};
use crate::image::error::ImageModelError;
use crate::image::{self, ImageModel};
use crate::tabular::{NotTabular, TabularModel};
use crate::text::{self, TextLimits, TextModel, TextModelError};

/// How a model is asked and how its outputs are read.
#[derive(Debug, Clone)]
pub enum TaskModel {
    /// Rows.
    Tabular(Box<TabularModel>),
    /// Texts.
    Text(Box<TextModel>),
    /// Images.
    Image(Box<ImageModel>),
}

/// A model that `/predict` doesn't serve. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTask {
    /// It isn't tabular, and nothing says that it has another task.
    #[error(transparent)]
    NotTabular(#[from] NotTabular),
    /// Its files don't fit the task of texts.
    #[error("{0}. Until then, use POST /v2/models/<name>/infer")]
    Text(#[from] TextModelError),
    /// Its files don't fit the task of images.
    #[error("{0}. Until then, use POST /v2/models/<name>/infer")]
    Image(#[from] ImageModelError),
    /// A file beside it can't be used.
    #[error("{0}. Until then, use POST /v2/models/<name>/infer")]
    Folder(#[from] FolderError),
    /// Its owner has named the task `tensor`.
    #[error("the task of this model is `tensor`: use POST /v2/models/<name>/infer")]
    Tensor,
}

/// Facts about a model, from its file.
#[derive(Debug, Clone, Copy)]
pub struct ModelFacts<'a> {
    /// Inputs and outputs.
    pub signature: &'a Signature,
    /// A JSON list with the names of the features of its only input, from its metadata.
    pub feature_names: Option<&'a str>,
    /// Names of the columns of outputs that hold class probabilities, by the outputs' names.
    pub classes: &'a [(String, Classes)],
}

impl TaskModel {
    /// Finds the task from the files beside the model, if none is named, and reads what it needs.
    ///
    /// # Errors
    /// When the files or the inputs don't fit the task.
    pub fn open(
        folder: &ModelFolder,
        facts: ModelFacts<'_>,
        named: Option<Task>,
    ) -> Result<Self, NoTask> {
        let task = match named {
            Some(task) => task,
            None => detect(folder, facts.signature)?,
        };
        match task {
            Task::Tabular => {
                let ModelFacts {
                    signature,
                    feature_names,
                    classes,
                } = facts;
                let model = TabularModel::new(signature, feature_names, classes)?;
                Ok(Self::Tabular(Box::new(model)))
            }
            Task::TextClassification
            | Task::TextEmbedding
            | Task::TextPair
            | Task::TokenClassification => {
                let limits = TextLimits::default();
                let model = TextModel::open(folder, facts.signature, task, limits)?;
                Ok(Self::Text(Box::new(model)))
            }
            Task::Tensor => Err(NoTask::Tensor),
            Task::ImageClassification => {
                let model = ImageModel::open(folder, facts.signature, named.is_some())?;
                Ok(Self::Image(Box::new(model)))
            }
        }
    }

    /// The task.
    #[must_use]
    pub const fn task(&self) -> Task {
        match self {
            Self::Tabular(_) => Task::Tabular,
            Self::Text(text) => text.task(),
            Self::Image(_) => Task::ImageClassification,
        }
    }
}

/// The task that the files beside a model say that it has, or else that of rows.
fn detect(folder: &ModelFolder, signature: &Signature) -> Result<Task, FolderError> {
    if let Some(task) = text::detect(folder, signature)? {
        return Ok(task);
    }
    Ok(image::detect(folder, signature)?.unwrap_or(Task::Tabular))
}
