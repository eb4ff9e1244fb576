//! The names of classes.

/// Names of a model's classes, in the order of the columns of their probabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classes {
    /// Whole numbers.
    Numbers(Vec<i64>),
    /// Texts.
    Names(Vec<String>),
}

impl Classes {
    /// Number of classes.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Numbers(labels) => labels.len(),
            Self::Names(labels) => labels.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
