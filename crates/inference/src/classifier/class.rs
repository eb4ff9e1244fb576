//! The class of a row.

/// What a row was taken for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Class {
    /// A label of the model, or the class's position where it has none.
    Number(i64),
    /// A label of the model.
    Name(String),
}
