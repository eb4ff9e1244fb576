//! The class of a row.

/// Predicted class of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Class {
    /// An integer label, or the position of the class where the model has no labels.
    Number(i64),
    /// A string label.
    Name(String),
}
