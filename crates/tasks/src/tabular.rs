//! Tabular models: rows of named columns, or of features.

mod cells;
mod outputs;
pub mod request;
mod table;

use springtide_inference::{Classes, Signature};

pub use self::outputs::{OutputReader, UnreadableOutputs};
pub use self::table::{Column, NotTabular, Table};

/// How a tabular model is asked and how its outputs are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TabularModel {
    /// Its columns.
    pub table: Table,
    /// How its outputs are read.
    pub outputs: OutputReader,
}

impl TabularModel {
    /// Decides by the model's declarations. `feature_names` is a JSON list with the names of the features of its only
    /// input; any other text is ignored. `classes` are the names of the columns of outputs that hold class
    /// probabilities, by the outputs' names.
    ///
    /// # Errors
    /// When the model doesn't take rows.
    pub fn new(
        signature: &Signature,
        feature_names: Option<&str>,
        classes: &[(String, Classes)],
    ) -> Result<Self, NotTabular> {
        let feature_names: Vec<String> = feature_names
            .and_then(|names| serde_json::from_str(names).ok())
            .unwrap_or_default();
        Ok(Self {
            table: Table::new(signature, &feature_names)?,
            outputs: OutputReader::new(signature, classes),
        })
    }
}
