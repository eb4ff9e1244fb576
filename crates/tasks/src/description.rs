//! A model's task for clients that ask for it.

use serde::Serialize;
use springtide_contract::task::Task;

use crate::model::TaskModel;
use crate::text::{Reading, TextModel};

/// What a client must know to ask a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    task: &'static str,
    /// The columns of rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<ColumnDescription>,
    /// The classes, in the order of the model's outputs, where the model or a file beside it names them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    /// Maximum number of tokens of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ColumnDescription {
    name: String,
    datatype: String,
    /// Number of values in each row.
    width: usize,
}

impl Description {
    /// The description of a model, and that of tensors for a model without a task.
    #[must_use]
    pub fn of(model: Option<&TaskModel>) -> Self {
        let mut description = Self {
            task: model.map_or(Task::Tensor, TaskModel::task).name(),
            columns: Vec::new(),
            classes: Vec::new(),
            max_tokens: None,
        };
        match model {
            Some(TaskModel::Tabular(tabular)) => {
                let columns = tabular.table.columns().iter();
                let column = columns.map(|column| ColumnDescription {
                    name: column.name.clone(),
                    datatype: column.element.to_string(),
                    width: column.width.get(),
                });
                description.columns = column.collect();
                description.classes = tabular.outputs.declared_classes();
            }
            Some(TaskModel::Text(text)) => {
                description.classes = labels(text);
                description.max_tokens = Some(text.max_tokens());
            }
            Some(TaskModel::Image(image)) => {
                description.classes = image
                    .classes()
                    .map_or_else(Vec::new, |all| all.names().to_vec());
            }
            None => {}
        }
        description
    }
}

fn labels(text: &TextModel) -> Vec<String> {
    match text.reading() {
        Reading::Classes { labels, .. } | Reading::Entities { labels, .. } => (0..labels.len())
            .map(|column| labels.name(column).to_string())
            .collect(),
        Reading::Relevance { .. } | Reading::Sentences { .. } | Reading::Tokens { .. } => {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use springtide_inference::{Classes, Dimension, ElementType, Port, Signature};

    use super::*;
    use crate::folder::ModelFolder;
    use crate::model::ModelFacts;

    #[test]
    fn columns_and_declared_classes_are_described() {
        let (any, two) = (Dimension::Any, Dimension::Fixed(2));
        let signature = Signature {
            inputs: vec![Port::tensor("x", ElementType::F32, [any, two])],
            outputs: vec![Port::tensor("softmax", ElementType::F32, [any, two])],
        };
        let names = ["no", "yes"].map(str::to_owned).to_vec();
        let facts = ModelFacts {
            signature: &signature,
            feature_names: None,
            classes: &[("softmax".to_owned(), Classes::Names(names))],
        };
        let model = TaskModel::open(&ModelFolder::new("/nowhere"), facts, None).unwrap();
        let described = serde_json::to_value(Description::of(Some(&model))).unwrap();
        let expected = json!({
            "task": "tabular", "classes": ["no", "yes"],
            "columns": [{"name": "x", "datatype": "float32", "width": 2}],
        });
        assert_eq!(described, expected);
        let none = serde_json::to_value(Description::of(None)).unwrap();
        assert_eq!(none, json!({"task": "tensor"}));
    }
}
