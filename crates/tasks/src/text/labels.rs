//! Names of a model's classes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// Names of classes by their column, as `id2label` of `config.json` has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    names: BTreeMap<usize, Arc<str>>,
}

impl Labels {
    /// The labels of an `id2label`. None when a label is neither a string, a number nor a truth value.
    #[must_use]
    pub fn from_json(id2label: &BTreeMap<usize, Value>) -> Option<Self> {
        let name = |value: &Value| match value {
            Value::String(name) => Some(name.as_str().into()),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Bool(truth) => Some(truth.to_string().into()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let names = id2label
            .iter()
            .map(|(&column, value)| Some((column, name(value)?)))
            .collect::<Option<_>>()?;
        Some(Self { names })
    }

    /// Number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The label of a column; the number of the column if it has none.
    #[must_use]
    pub fn name(&self, column: usize) -> Arc<str> {
        match self.names.get(&column) {
            Some(name) => Arc::clone(name),
            None => column.to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_without_a_label_has_its_number() {
        let id2label = serde_json::from_str(r#"{"10": "ten", "2": 2.5, "0": true}"#).unwrap();
        let labels = Labels::from_json(&id2label).unwrap();
        let names: Vec<_> = [0, 1, 2, 10].map(|column| labels.name(column)).to_vec();
        let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
        assert_eq!(names, ["true", "1", "2.5", "ten"]);
        assert_eq!(labels.len(), 3);
    }

    #[test]
    fn a_label_is_a_scalar() {
        let id2label = serde_json::from_str(r#"{"0": ["a"]}"#).unwrap();
        assert_eq!(Labels::from_json(&id2label), None);
    }
}
