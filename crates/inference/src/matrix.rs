//! Rows of 32-bit floats.

use std::num::NonZeroUsize;

use crate::tensor::Tensor;

/// Rows of equal length, row after row, at least one of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    columns: NonZeroUsize,
    data: Vec<f32>,
}

/// The data isn't one or more whole rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} numbers are not one or more rows of {columns}")]
pub struct NotWholeRows {
    /// Numbers that were given.
    pub length: usize,
    /// Length of a row.
    pub columns: NonZeroUsize,
}

impl Matrix {
    /// Takes numbers as rows of `columns` each.
    ///
    /// # Errors
    /// When they are not one or more whole rows.
    pub fn new(columns: NonZeroUsize, data: Vec<f32>) -> Result<Self, NotWholeRows> {
        if data.is_empty() || !data.len().is_multiple_of(columns.get()) {
            return Err(NotWholeRows {
                length: data.len(),
                columns,
            });
        }
        Ok(Self { columns, data })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.data.len() / self.columns).unwrap_or(NonZeroUsize::MIN)
    }

    /// Length of a row.
    #[must_use]
    pub const fn columns(&self) -> NonZeroUsize {
        self.columns
    }

    /// All numbers, row after row.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The rows of all matrices, in their order. None when there is no matrix or their columns
    /// differ.
    #[must_use]
    pub fn stack(matrices: &[&Self]) -> Option<Tensor> {
        let columns = matrices.first()?.columns;
        if matrices.iter().any(|matrix| matrix.columns != columns) {
            return None;
        }
        let data = matrices
            .iter()
            .map(|matrix| &*matrix.data)
            .collect::<Vec<_>>()
            .concat();
        Tensor::new(vec![data.len() / columns, columns.get()], data).ok()
    }
}
