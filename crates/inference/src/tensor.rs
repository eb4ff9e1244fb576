//! Tensors: the inputs and outputs of a run.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::data::{Data, DataView};
use crate::element::ElementType;

/// A row-major array of any rank, with exactly the elements of its shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

/// A shape doesn't fit the elements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeMismatch {
    /// It has another number of elements.
    #[error("the shape {shape:?} has {expected} elements, not {elements}")]
    Count {
        /// The shape.
        shape: Vec<usize>,
        /// Elements of the shape.
        expected: usize,
        /// Given elements.
        elements: usize,
    },
    /// It is too large for any tensor.
    #[error("the shape {shape:?} is too large")]
    TooLarge {
        /// The shape.
        shape: Vec<usize>,
    },
}

/// Maximum number of elements of a tensor, and maximum length of a dimension: the bytes must be addressable for any
/// element type.
const MAX_ELEMENTS: usize = isize::MAX.unsigned_abs() / size_of::<String>();

/// Number of elements of a shape; 1 for a scalar. None when it or a dimension is too large for any tensor, so that a
/// client's shape can be checked before anything is allocated.
#[must_use]
pub fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |count, &length| {
        let count = count.checked_mul(length)?;
        (length <= MAX_ELEMENTS && count <= MAX_ELEMENTS).then_some(count)
    })
}

impl Tensor {
    /// Elements in a shape.
    ///
    /// # Errors
    /// When the shape has another number of elements.
    pub fn new(shape: Vec<usize>, data: impl Into<Data>) -> Result<Self, ShapeMismatch> {
        let data = data.into();
        let elements = data.view().len();
        match element_count(&shape) {
            Some(expected) if expected == elements => Ok(Self { shape, data }),
            Some(expected) => Err(ShapeMismatch::Count {
                shape,
                expected,
                elements,
            }),
            None => Err(ShapeMismatch::TooLarge { shape }),
        }
    }

    /// Zeros: `false`, 0 and empty strings. Allocates all of them, so the caller must limit the shape.
    ///
    /// # Errors
    /// When the shape is too large for any tensor.
    pub fn zeros(element: ElementType, shape: Vec<usize>) -> Result<Self, ShapeMismatch> {
        match element_count(&shape) {
            Some(count) => {
                let data = Data::zeros(element, count);
                Ok(Self { shape, data })
            }
            None => Err(ShapeMismatch::TooLarge { shape }),
        }
    }

    /// Length of each dimension, outermost first; empty for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    #[must_use]
    pub const fn data(&self) -> &Data {
        &self.data
    }

    /// The elements' type.
    #[must_use]
    pub fn element(&self) -> ElementType {
        self.data.view().element()
    }

    /// The shape and the elements.
    #[must_use]
    pub fn into_parts(self) -> (Vec<usize>, Data) {
        (self.shape, self.data)
    }

    /// Length of the first dimension, 1 for a scalar.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The rows of all tensors, concatenated. None when there is no tensor, one is a scalar, or they differ in more
    /// than the number of rows.
    #[must_use]
    pub fn stack(tensors: &[&Self]) -> Option<Self> {
        let (_, row) = tensors.first()?.shape.split_first()?;
        let mut rows = 0_usize;
        for tensor in tensors {
            let (length, other) = tensor.shape.split_first()?;
            if other != row {
                return None;
            }
            rows = rows.checked_add(*length)?;
        }
        let parts: Vec<&Data> = tensors.iter().map(|tensor| &tensor.data).collect();
        let shape = [&[rows], row].concat();
        Self::new(shape, Data::concatenate(&parts)?).ok()
    }

    /// A view of the tensor.
    #[must_use]
    pub fn view(&self) -> TensorView<'_> {
        TensorView {
            shape: Cow::Borrowed(&self.shape),
            data: self.data.view(),
        }
    }

    /// A view of some rows. None for a scalar and beyond the last row.
    #[must_use]
    pub fn view_rows(&self, rows: Range<usize>) -> Option<TensorView<'_>> {
        let (&length, row) = self.shape.split_first()?;
        if rows.end > length {
            return None;
        }
        let count = rows.end.checked_sub(rows.start)?;
        // Where a later dimension is 0, there are rows without elements.
        let width = self.data.view().len().checked_div(length).unwrap_or(0);
        Some(TensorView {
            shape: Cow::Owned([&[count], row].concat()),
            data: self.data.view().get(rows.start * width..rows.end * width)?,
        })
    }
}

/// A view of a tensor or of some of its rows, without a copy of the elements.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorView<'a> {
    shape: Cow<'a, [usize]>,
    data: DataView<'a>,
}

impl<'a> TensorView<'a> {
    /// Length of each dimension, outermost first; empty for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    #[must_use]
    pub const fn data(&self) -> DataView<'a> {
        self.data
    }

    /// The elements' type.
    #[must_use]
    pub const fn element(&self) -> ElementType {
        self.data.element()
    }

    /// A tensor with a copy of the elements.
    #[must_use]
    pub fn to_tensor(&self) -> Tensor {
        Tensor {
            shape: self.shape.to_vec(),
            data: self.data.to_data(),
        }
    }
}

/// For example `float32[2, 4]`.
impl fmt::Display for TensorView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{:?}", self.element(), self.shape)
    }
}

#[cfg(test)]
mod tests;
