//! The models as the page needs them: the fields of their requests.

use std::collections::BTreeSet;

use serde::Serialize;
use springtide_contract::task::Task;
use springtide_contract::text::plain;
use springtide_inference::ElementType;
use springtide_tasks::activation::Activation;
use springtide_tasks::tabular::{Column, TabularModel};
use springtide_tasks::text::{Reading, TextModel};
use springtide_tasks::{NoTask, TaskModel};

use crate::models::{MAX_MESSAGE, Model, Repository};

/// Maximum number of columns that are listed. The page shows no form for more of them.
const MAX_COLUMNS: usize = 256;

/// Types of image files, as requests name them.
const IMAGE_TYPES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];

/// The body of `GET /page/models`.
#[derive(Debug, Serialize)]
pub(super) struct PageModels {
    server_version: &'static str,
    /// The model that `/predict` uses.
    default: Option<String>,
    models: Vec<PageModel>,
}

/// A model: its newest version that serves.
#[derive(Debug, Serialize)]
pub(super) struct PageModel {
    name: String,
    version: String,
    task: &'static str,
    /// Whether responses may have the probabilities of classes.
    classes: bool,
    #[serde(flatten)]
    input: Input,
}

/// What a request contains.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "input", rename_all = "lowercase")]
pub(super) enum Input {
    Rows(Rows),
    Text {
        pair: Pair,
        max_bytes: usize,
    },
    Image {
        accept: [&'static str; 3],
        max_bytes: usize,
    },
    /// `/predict` doesn't serve the model.
    None {
        problem: String,
    },
}

/// The columns of a table.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Rows {
    columns: Vec<PageColumn>,
    /// Number of all columns, which may be more than are listed.
    column_count: usize,
    /// Number of values of a row without names, if the model takes such rows.
    features: Option<usize>,
}

#[derive(Debug, PartialEq, Serialize)]
struct PageColumn {
    name: String,
    kind: Kind,
    datatype: &'static str,
    width: usize,
}

/// The kind of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
}

/// Whether a request has a second text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pair {
    None,
    Optional,
    Required,
}

impl PageModels {
    /// The models that serve, by their names.
    pub(super) fn new(models: &Repository) -> Self {
        let serving = models.serving();
        let names: BTreeSet<&str> = serving.iter().map(|model| model.name()).collect();
        let newest = names
            .into_iter()
            .filter_map(|name| models.find(name, None).ok());
        Self {
            server_version: env!("CARGO_PKG_VERSION"),
            default: models
                .default_model()
                .ok()
                .map(|model| model.name().to_owned()),
            models: newest.map(|model| PageModel::new(&model)).collect(),
        }
    }
}

impl PageModel {
    fn new(model: &Model) -> Self {
        let (task, classes, input) = facts(model.task());
        Self {
            name: model.name().to_owned(),
            version: model.version().to_owned(),
            task: task.name(),
            classes,
            input,
        }
    }
}

/// The task, whether it has classes, and what a request contains.
pub(super) fn facts(task: Result<&TaskModel, &NoTask>) -> (Task, bool, Input) {
    match task {
        Ok(task) => {
            let (classes, input) = match task {
                TaskModel::Tabular(model) => {
                    (model.outputs.is_classifier(), Input::Rows(rows(model)))
                }
                TaskModel::Text(model) => (has_classes(model), text(model)),
                TaskModel::Image(model) => (
                    true,
                    Input::Image {
                        accept: IMAGE_TYPES,
                        max_bytes: model.max_bytes(),
                    },
                ),
            };
            (task.task(), classes, input)
        }
        Err(reason) => {
            let problem = plain(&reason.to_string(), MAX_MESSAGE).into_owned();
            (Task::Tensor, false, Input::None { problem })
        }
    }
}

fn rows(model: &TabularModel) -> Rows {
    let columns = model.table.columns();
    Rows {
        columns: columns.iter().take(MAX_COLUMNS).map(column).collect(),
        column_count: columns.len(),
        features: model.table.features().map(|(_, width)| width.get()),
    }
}

fn column(column: &Column) -> PageColumn {
    PageColumn {
        name: column.name.clone(),
        kind: kind(column.element),
        datatype: column.element.name(),
        width: column.width.get(),
    }
}

const fn kind(element: ElementType) -> Kind {
    match element {
        ElementType::Bool => Kind::Boolean,
        ElementType::String => Kind::Text,
        ElementType::F16 | ElementType::Bf16 | ElementType::F32 | ElementType::F64 => Kind::Number,
        ElementType::U8
        | ElementType::U16
        | ElementType::U32
        | ElementType::U64
        | ElementType::I8
        | ElementType::I16
        | ElementType::I32
        | ElementType::I64 => Kind::Integer,
    }
}

fn text(model: &TextModel) -> Input {
    Input::Text {
        pair: match model.task() {
            Task::TextPair => Pair::Required,
            Task::TextClassification => Pair::Optional,
            _ => Pair::None,
        },
        max_bytes: model.max_bytes(),
    }
}

fn has_classes(model: &TextModel) -> bool {
    // The outputs of a regression have no probabilities.
    matches!(model.reading(), Reading::Classes { activation, .. } if *activation != Activation::Identity)
}

#[cfg(test)]
mod tests;
