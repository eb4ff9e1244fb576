//! What goes into a model and what comes out.

use std::fmt;
use std::num::NonZeroUsize;

/// Rows of equal length, row after row, at least one of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    columns: NonZeroUsize,
    data: Vec<f32>,
}

/// The data isn't one or more whole rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} numbers are not one or more rows of {columns}")]
pub struct NotRows {
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
    pub fn new(columns: NonZeroUsize, data: Vec<f32>) -> Result<Self, NotRows> {
        if data.is_empty() || !data.len().is_multiple_of(columns.get()) {
            return Err(NotRows {
                length: data.len(),
                columns,
            });
        }
        Ok(Self { columns, data })
    }

    /// Rows of zeros.
    #[must_use]
    pub fn zeros(rows: NonZeroUsize, columns: NonZeroUsize) -> Self {
        Self {
            columns,
            data: vec![0.0; rows.get() * columns.get()],
        }
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
    pub fn stack(matrices: &[&Self]) -> Option<Self> {
        let columns = matrices.first()?.columns;
        if matrices.iter().any(|matrix| matrix.columns != columns) {
            return None;
        }
        let mut data = Vec::with_capacity(matrices.iter().map(|matrix| matrix.data.len()).sum());
        for matrix in matrices {
            data.extend_from_slice(&matrix.data);
        }
        Some(Self { columns, data })
    }
}

/// A tensor that a model gave, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each dimension, outermost first.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Data,
}

/// Elements of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    Float(Vec<f32>),
    /// 64-bit integers.
    Integer(Vec<i64>),
    /// UTF-8 strings.
    Text(Vec<String>),
}

/// Type of a tensor's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElementType {
    /// 32-bit float.
    Float,
    /// 64-bit integer.
    Integer,
    /// UTF-8 string.
    Text,
    /// Any other, named as ONNX Runtime names it; values that aren't tensors too.
    Other(String),
}

impl fmt::Display for ElementType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Float => "float32",
            Self::Integer => "int64",
            Self::Text => "string",
            Self::Other(name) => name,
        })
    }
}

/// Length of a dimension as a model declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// Any length.
    Any,
    /// This length only.
    Fixed(usize),
}

impl fmt::Display for Dimension {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("N"),
            Self::Fixed(length) => write!(formatter, "{length}"),
        }
    }
}

/// One input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the model.
    pub name: String,
    /// Its elements.
    pub element: ElementType,
    /// Its shape; empty for a scalar and for values that aren't tensors.
    pub shape: Vec<Dimension>,
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}[", self.name, self.element)?;
        for (index, dimension) in self.shape.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{dimension}")?;
        }
        formatter.write_str("]")
    }
}

/// What a model takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Inputs in the model's order.
    pub inputs: Vec<Port>,
    /// Outputs in the model's order.
    pub outputs: Vec<Port>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn a_matrix_has_whole_rows() {
        let matrix = Matrix::new(columns(2), vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(matrix.rows().get(), 2);
        for data in [vec![], vec![1.0], vec![1.0, 2.0, 3.0]] {
            let length = data.len();
            let refused = Matrix::new(columns(2), data);
            assert_eq!(
                refused,
                Err(NotRows {
                    length,
                    columns: columns(2)
                })
            );
        }
    }

    #[test]
    fn stacking_keeps_the_order_and_refuses_mixed_columns() {
        let first = Matrix::new(columns(2), vec![1.0, 2.0]).unwrap();
        let second = Matrix::new(columns(2), vec![3.0, 4.0, 5.0, 6.0]).unwrap();
        let stacked = Matrix::stack(&[&first, &second]).unwrap();
        assert_eq!(stacked.data(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(stacked.rows().get(), 3);
        let odd = Matrix::new(columns(3), vec![0.0; 3]).unwrap();
        assert_eq!(Matrix::stack(&[&first, &odd]), None);
        assert_eq!(Matrix::stack(&[]), None);
    }

    #[test]
    fn a_port_reads_like_a_declaration() {
        let port = Port {
            name: "features".to_owned(),
            element: ElementType::Float,
            shape: vec![Dimension::Any, Dimension::Fixed(4)],
        };
        assert_eq!(port.to_string(), "features float32[N, 4]");
    }
}
