//! Validated inputs of a request, and the outputs for them.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use springtide_inference::{Dimension, Signature, SignatureMismatch, Tensor, TensorView};

/// Inputs that a model doesn't accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Too many, too few, or one with a wrong type or shape.
    #[error(transparent)]
    Mismatch(#[from] SignatureMismatch),
    /// The first dimensions differ.
    #[error("input {name} has {rows} rows, input {first} has {expected}")]
    Rows {
        /// The input.
        name: String,
        /// Its rows.
        rows: usize,
        /// The first input.
        first: String,
        /// Its rows.
        expected: usize,
    },
    /// There are no rows.
    #[error("the inputs have no rows")]
    NoRows,
    /// More rows than fit into one batch.
    #[error("the inputs have {rows} rows, the maximum is {max} (--max-batch-size)")]
    TooManyRows {
        /// Their rows.
        rows: usize,
        /// Maximum number of rows.
        max: NonZeroUsize,
    },
}

/// The shape that the requests of one batch have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RowShape {
    /// Lengths of the free dimensions of a row, one input after the other. Empty, without an allocation, where the
    /// model has none.
    Lengths(Box<[usize]>),
    /// Shared with no other request: the number is unique.
    Alone(usize),
}

impl RowShape {
    fn alone() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self::Alone(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Inputs that a model accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedInputs {
    /// Required inputs, in the model's order.
    pub(super) inputs: Vec<Tensor>,
    /// Optional inputs that are given, with their position in [`Signature::inputs`].
    pub(super) optional: Vec<(usize, Tensor)>,
    /// 1 where the model isn't batched.
    pub(super) rows: NonZeroUsize,
    pub(super) row_shape: RowShape,
}

impl ValidatedInputs {
    /// Validates inputs in the signature's order. `max_rows` is None for a model that runs each request alone,
    /// whatever its first dimensions mean. A request with optional inputs, which have no rows, or without elements
    /// runs alone, too.
    pub(super) fn new(
        signature: &Signature,
        max_rows: Option<NonZeroUsize>,
        inputs: Vec<Tensor>,
        optional: Vec<(usize, Tensor)>,
    ) -> Result<Self, InputError> {
        signature.check(&inputs.iter().collect::<Vec<_>>())?;
        let Some(max) = max_rows else {
            return Ok(Self {
                inputs,
                optional,
                rows: NonZeroUsize::MIN,
                // Where sharing has just ended, the batcher may still stack requests.
                row_shape: RowShape::alone(),
            });
        };
        let named_rows = signature
            .required_inputs()
            .zip(&inputs)
            .map(|(port, tensor)| (&port.name, tensor.rows()));
        let mut first = None;
        for (name, rows) in named_rows {
            let &mut (first, expected) = first.get_or_insert((name, rows));
            if rows != expected {
                return Err(InputError::Rows {
                    name: name.clone(),
                    rows,
                    first: first.clone(),
                    expected,
                });
            }
        }
        let rows = first.map_or(0, |(_, rows)| rows);
        let rows = NonZeroUsize::new(rows).ok_or(InputError::NoRows)?;
        if rows > max {
            return Err(InputError::TooManyRows {
                rows: rows.get(),
                max,
            });
        }
        // Rows without elements are neither proven nor tried.
        let is_empty = inputs.iter().any(|input| input.data().view().is_empty());
        let row_shape = if optional.is_empty() && !is_empty {
            row_shape(signature, &inputs)
        } else {
            RowShape::alone()
        };
        Ok(Self {
            inputs,
            optional,
            rows,
            row_shape,
        })
    }

    /// Number of rows; 1 where the model isn't batched.
    #[must_use]
    pub const fn rows(&self) -> NonZeroUsize {
        self.rows
    }
}

/// Number of elements of all tensors.
pub(super) fn elements(tensors: &[Tensor]) -> usize {
    let of = |tensor: &Tensor| tensor.shape().iter().product::<usize>();
    tensors.iter().map(of).sum()
}

fn row_shape(signature: &Signature, inputs: &[Tensor]) -> RowShape {
    let free_lengths = signature
        .required_inputs()
        .zip(inputs)
        .flat_map(|(port, tensor)| {
            let declared = port.shape.iter().flatten();
            declared
                .zip(tensor.shape())
                .skip(1)
                .filter(|(dimension, _)| **dimension == Dimension::Any)
                .map(|(_, length)| *length)
        });
    RowShape::Lengths(free_lengths.collect())
}

/// Outputs of a model for one request.
#[derive(Debug, Clone)]
pub struct InferenceOutput {
    pub(super) outputs: Arc<[Tensor]>,
    /// This request's rows of each output. None where it ran alone.
    pub(super) rows: Option<Range<usize>>,
    /// Number of rows of its batch.
    pub batch_rows: usize,
    /// Time in the queue.
    pub queued: Duration,
    /// Run time of the batch.
    pub compute: Duration,
}

impl InferenceOutput {
    /// The request's rows of an output, by its position in [`Signature::tensor_outputs`]. None beyond the last
    /// output.
    #[must_use]
    pub fn view(&self, output: usize) -> Option<TensorView<'_>> {
        let tensor = self.outputs.get(output)?;
        match &self.rows {
            Some(rows) => tensor.view_rows(rows.clone()),
            None => Some(tensor.view()),
        }
    }

    /// The request's rows of every output.
    #[must_use]
    pub fn views(&self) -> Vec<TensorView<'_>> {
        (0..self.outputs.len())
            .filter_map(|output| self.view(output))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use springtide_inference::{ElementType, Port};

    use super::*;

    const ANY: Dimension = Dimension::Any;

    fn signature() -> Signature {
        Signature {
            inputs: vec![
                Port::tensor("tokens", ElementType::I64, [ANY, ANY]),
                Port::tensor("image", ElementType::F32, [ANY, Dimension::Fixed(2), ANY]),
            ],
            outputs: vec![Port::tensor("y", ElementType::F32, [ANY])],
        }
    }

    fn inputs(tokens: [usize; 2], image: [usize; 3]) -> Vec<Tensor> {
        vec![
            Tensor::zeros(ElementType::I64, tokens.to_vec()).unwrap(),
            Tensor::zeros(ElementType::F32, image.to_vec()).unwrap(),
        ]
    }

    fn check(inputs: Vec<Tensor>) -> Result<ValidatedInputs, InputError> {
        ValidatedInputs::new(&signature(), NonZeroUsize::new(4), inputs, vec![])
    }

    #[test]
    fn rows_share_a_batch_where_their_free_dimensions_agree() {
        let checked = check(inputs([3, 7], [3, 2, 9])).unwrap();
        assert_eq!(checked.rows().get(), 3);
        let same = check(inputs([1, 7], [1, 2, 9])).unwrap();
        assert_eq!(checked.row_shape, same.row_shape);
        for other in [inputs([3, 9], [3, 2, 7]), inputs([3, 7], [3, 2, 8])] {
            assert_ne!(check(other).unwrap().row_shape, checked.row_shape);
        }
    }

    #[test]
    fn a_fixed_row_needs_no_memory_for_its_shape() {
        let fixed = Signature {
            inputs: vec![Port::tensor(
                "x",
                ElementType::F32,
                [ANY, Dimension::Fixed(2)],
            )],
            outputs: vec![],
        };
        let input = Tensor::zeros(ElementType::F32, vec![1, 2]).unwrap();
        let checked =
            ValidatedInputs::new(&fixed, NonZeroUsize::new(4), vec![input], vec![]).unwrap();
        assert_eq!(checked.row_shape, RowShape::Lengths(Box::default()));
    }

    #[test]
    fn what_the_model_does_not_take_is_named() {
        for (given, message) in [
            (vec![], "the model has 2 inputs, 0 were given"),
            (
                inputs([1, 7], [1, 3, 9]),
                "input image takes float32[N, 2, N], not float32[1, 3, 9]",
            ),
            (
                inputs([1, 7], [2, 2, 9]),
                "input image has 2 rows, input tokens has 1",
            ),
            (inputs([0, 7], [0, 2, 9]), "the inputs have no rows"),
            (
                inputs([5, 7], [5, 2, 9]),
                "the inputs have 5 rows, the maximum is 4 (--max-batch-size)",
            ),
        ] {
            assert_eq!(check(given).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_model_that_is_not_batched_takes_what_fits_its_signature() {
        let check =
            || ValidatedInputs::new(&signature(), None, inputs([5, 7], [1, 2, 9]), vec![]).unwrap();
        assert_eq!(check().rows(), NonZeroUsize::MIN);
        assert_ne!(check().row_shape, check().row_shape, "nor ever shares");
    }

    #[test]
    fn a_request_without_elements_shares_its_batch_with_no_other() {
        let empty = || check(inputs([2, 0], [2, 2, 9])).unwrap();
        assert_ne!(empty().row_shape, empty().row_shape);
    }

    #[test]
    fn a_request_with_an_optional_input_shares_its_batch_with_no_other() {
        let with_optional = || {
            let scale = Tensor::new(vec![], vec![2.0_f32]).unwrap();
            let inputs = inputs([1, 7], [1, 2, 9]);
            ValidatedInputs::new(&signature(), NonZeroUsize::new(4), inputs, vec![(2, scale)])
                .unwrap()
        };
        let without = check(inputs([1, 7], [1, 2, 9])).unwrap();
        assert_ne!(with_optional().row_shape, without.row_shape);
        assert_ne!(with_optional().row_shape, with_optional().row_shape);
    }

    #[test]
    fn a_request_sees_its_rows_of_each_output() {
        let outputs = Arc::from([
            Tensor::new(vec![3], vec![1.0_f32, 2.0, 3.0]).unwrap(),
            Tensor::new(vec![3, 2], vec![1_i64, 2, 3, 4, 5, 6]).unwrap(),
        ]);
        let mut inferred = InferenceOutput {
            outputs,
            rows: Some(1..3),
            batch_rows: 3,
            queued: Duration::ZERO,
            compute: Duration::ZERO,
        };
        let views = inferred.views();
        assert_eq!(
            views[0].to_tensor(),
            Tensor::new(vec![2], vec![2.0_f32, 3.0]).unwrap()
        );
        assert_eq!(
            views[1].to_tensor(),
            Tensor::new(vec![2, 2], vec![3_i64, 4, 5, 6]).unwrap()
        );
        assert_eq!(inferred.view(2), None);
        inferred.rows = None;
        assert_eq!(inferred.view(0).unwrap().shape(), [3]);
    }
}
