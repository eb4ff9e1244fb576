//! The columns of a tabular model, and the inputs that they belong to.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use springtide_inference::{Dimension, ElementType, Port, Signature};

/// Maximum number of column names in a message.
const MAX_LISTED: usize = 20;

/// A model that doesn't take rows. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTabular {
    /// It has no inputs.
    #[error(
        "/predict serves models with inputs, and this one has none: use POST /v2/models/<name>/infer"
    )]
    NoInputs,
    /// An input has no rows of a fixed width.
    #[error(
        "/predict serves models whose inputs are columns, [N] or [N, features], and models of texts and \
         images with the files of their export beside them (tokenizer.json, preprocessor_config.json or \
         labels.txt). An input of this one is {input}: put these files beside it, use POST \
         /v2/models/<name>/infer, or export the model with any number of rows and a fixed number of \
         features"
    )]
    Input {
        /// The input.
        input: String,
    },
}

/// An input of a tabular model: `[N]`, or `[N, width]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableInput {
    pub(super) element: ElementType,
    pub(super) width: NonZeroUsize,
    has_width: bool,
}

impl TableInput {
    fn new(port: &Port) -> Option<Self> {
        let (width, has_width) = match port.shape.as_deref()? {
            [Dimension::Any] => (NonZeroUsize::MIN, false),
            [Dimension::Any, Dimension::Fixed(width)] => (NonZeroUsize::new(*width)?, true),
            _ => return None,
        };
        Some(Self {
            element: port.element()?,
            width,
            has_width,
        })
    }

    /// The shape of its tensor.
    pub(super) fn shape(&self, rows: usize) -> Vec<usize> {
        if self.has_width {
            vec![rows, self.width.get()]
        } else {
            vec![rows]
        }
    }
}

/// A column: a whole input, or one feature of the only input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in requests.
    pub name: String,
    /// Type of its values.
    pub element: ElementType,
    /// Number of values in each row. More than one are a list.
    pub width: NonZeroUsize,
    pub(super) input: usize,
    pub(super) offset: usize,
}

/// The columns of a tabular model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub(super) inputs: Vec<TableInput>,
    columns: Vec<Column>,
    by_name: HashMap<String, usize>,
}

impl Table {
    /// The columns of a model. `feature_names` are the names of the features of its only input, in their order; they
    /// are ignored where their number is another one.
    ///
    /// # Errors
    /// When an input isn't `[N]` or `[N, features]`.
    pub fn new(signature: &Signature, feature_names: &[String]) -> Result<Self, NotTabular> {
        let ports: Vec<&Port> = signature.required_inputs().collect();
        let inputs = ports
            .iter()
            .map(|port| {
                let unsupported = || NotTabular::Input {
                    input: port.to_string(),
                };
                TableInput::new(port).ok_or_else(unsupported)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let column = |name: &str, input: usize, offset, width| {
            let of = inputs.get(input)?;
            Some(Column {
                name: name.to_owned(),
                element: of.element,
                width,
                input,
                offset,
            })
        };
        let one = NonZeroUsize::MIN;
        let columns: Vec<Column> = match &*inputs {
            [] => return Err(NotTabular::NoInputs),
            [only] if only.width.get() == feature_names.len() && are_unique(feature_names) => {
                let named = feature_names.iter().enumerate();
                named
                    .filter_map(|(offset, name)| column(name, 0, offset, one))
                    .collect()
            }
            inputs => {
                let of_inputs = ports.iter().zip(inputs).enumerate();
                of_inputs
                    .filter_map(|(at, (port, input))| column(&port.name, at, 0, input.width))
                    .collect()
            }
        };
        let by_name = columns
            .iter()
            .map(|column| column.name.clone())
            .zip(0..)
            .collect();
        Ok(Self {
            inputs,
            columns,
            by_name,
        })
    }

    /// The columns, in the model's order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Type and number of features of a model with one input, which also takes rows without names.
    #[must_use]
    pub fn features(&self) -> Option<(ElementType, NonZeroUsize)> {
        match &*self.inputs {
            [only] => Some((only.element, only.width)),
            _ => None,
        }
    }

    /// Number of values in each row.
    #[must_use]
    pub fn values_per_row(&self) -> usize {
        let widths = self.inputs.iter().map(|input| input.width.get());
        widths.fold(0, usize::saturating_add)
    }

    /// Whether a column has texts.
    #[must_use]
    pub fn has_text(&self) -> bool {
        self.inputs
            .iter()
            .any(|input| input.element == ElementType::String)
    }

    /// The position of a column.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Names of the columns for a message.
    pub(super) fn listed(&self) -> String {
        let names = self.columns.iter().take(MAX_LISTED);
        let mut listed: Vec<&str> = names.map(|column| &*column.name).collect();
        if self.columns.len() > MAX_LISTED {
            listed.push("…");
        }
        listed.join(", ")
    }
}

fn are_unique(names: &[String]) -> bool {
    let unique: std::collections::HashSet<&String> = names.iter().collect();
    unique.len() == names.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Dimension = Dimension::Any;

    fn signature(inputs: Vec<Port>) -> Signature {
        let outputs = vec![];
        Signature { inputs, outputs }
    }

    fn names(table: &Table) -> Vec<&str> {
        table.columns().iter().map(|column| &*column.name).collect()
    }

    #[test]
    fn each_input_is_a_column_and_named_features_are_columns_of_their_own() {
        let two = signature(vec![
            Port::tensor("age", ElementType::F32, [ANY, Dimension::Fixed(1)]),
            Port::tensor("sex", ElementType::String, [ANY]),
        ]);
        let table = Table::new(&two, &[]).unwrap();
        assert_eq!(names(&table), ["age", "sex"]);
        assert_eq!(table.features(), None);
        assert!(table.has_text());
        let x = [Port::tensor(
            "x",
            ElementType::F64,
            [ANY, Dimension::Fixed(2)],
        )];
        let one = signature(x.to_vec());
        let unnamed = Table::new(&one, &[]).unwrap();
        assert_eq!(names(&unnamed), ["x"]);
        assert_eq!(
            unnamed.features(),
            NonZeroUsize::new(2).map(|two| (ElementType::F64, two))
        );
        let named = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&Table::new(&one, &named(&["a", "b"])).unwrap()),
            ["a", "b"]
        );
        for unfit in [&["a"][..], &["a", "a"]] {
            assert_eq!(names(&Table::new(&one, &named(unfit)).unwrap()), ["x"]);
        }
    }

    #[test]
    fn inputs_without_rows_of_a_fixed_width_are_no_columns() {
        for shape in [
            vec![],
            vec![Dimension::Fixed(1), ANY],
            vec![ANY, ANY],
            vec![ANY, Dimension::Fixed(0)],
            vec![ANY; 3],
        ] {
            let model = signature(vec![Port::tensor("x", ElementType::F32, shape)]);
            let error = Table::new(&model, &[]).unwrap_err().to_string();
            assert!(error.contains("x float32["), "{error}");
        }
        assert_eq!(
            Table::new(&signature(vec![]), &[]),
            Err(NotTabular::NoInputs)
        );
    }
}
