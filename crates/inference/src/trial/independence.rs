//! Whether the rows of a model are rows.

use std::num::NonZeroUsize;

use super::shape;
use crate::backend::Backend;
use crate::data::{Data, DataView};
use crate::signature::{Port, Signature};
use crate::stop::Stop;
use crate::tensor::{Tensor, TensorView, element_count};

/// Largest difference of two outputs that are the same, as a part of their Euclidean length. Half
/// precision and quantization by batch stay below; what depends on the row before doesn't.
const SAME: f64 = 0.02;

/// Whether two different rows give the same when they run together as when each runs alone. A free
/// first dimension can just as well be time or tokens, along which requests that are put one after
/// the other would get each other's numbers.
///
/// None when that can't be seen: nothing can be made up for the inputs, or the model doesn't run on
/// what is made up.
#[must_use]
pub fn rows_are_independent(backend: &mut dyn Backend) -> Option<bool> {
    let rows = [0, 1].map(|first| varied_row(backend.signature(), first));
    let [Some(one), Some(other)] = rows else {
        return None;
    };
    let both: Option<Vec<Tensor>> = one
        .iter()
        .zip(&other)
        .map(|(one, other)| Tensor::stack(&[one, other]))
        .collect();
    let mut run = |inputs: &[Tensor]| {
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        backend.run(&inputs, &Stop::new()).ok()
    };
    let together = run(&both?)?;
    for (row, inputs) in [one, other].iter().enumerate() {
        let alone = run(inputs)?;
        if !is_row(&together, row, &alone) {
            return Some(false);
        }
    }
    Some(true)
}

/// One row of elements that differ, and from those of a row that begins elsewhere too.
fn varied_row(signature: &Signature, first: usize) -> Option<Vec<Tensor>> {
    let varied = |port: &Port| {
        let shape = shape(port, NonZeroUsize::MIN)?;
        let count = element_count(&shape)?;
        let elements = Data::varied(port.element()?, first + count);
        let elements = elements.view().get(first..first + count)?.to_data();
        Tensor::new(shape, elements).ok()
    };
    signature.inputs.iter().map(varied).collect()
}

fn is_row(together: &[Tensor], row: usize, alone: &[Tensor]) -> bool {
    // Classes and the like follow from them, and a tie may fall either way.
    let has_floats = alone
        .iter()
        .any(|output| floats(output.view().data()).is_some());
    together.iter().zip(alone).all(|(together, alone)| {
        let Some(together) = together.view_rows(row..row + 1) else {
            return false;
        };
        are_same(&together, &alone.view(), has_floats)
    })
}

fn are_same(one: &TensorView<'_>, other: &TensorView<'_>, only_floats: bool) -> bool {
    if one.shape() != other.shape() {
        return false;
    }
    match (floats(one.data()), floats(other.data())) {
        (Some(one), Some(other)) => are_close(&one, &other),
        _ => only_floats || one == other,
    }
}

fn floats(data: DataView<'_>) -> Option<Vec<f64>> {
    match data {
        DataView::F16(elements) => Some(elements.iter().map(|element| element.to_f64()).collect()),
        DataView::Bf16(elements) => Some(elements.iter().map(|element| element.to_f64()).collect()),
        DataView::F32(elements) => Some(elements.iter().copied().map(f64::from).collect()),
        DataView::F64(elements) => Some(elements.to_vec()),
        _ => None,
    }
}

fn are_close(one: &[f64], other: &[f64]) -> bool {
    let (mut difference, mut length) = (0.0, 0.0);
    for (one, other) in one.iter().zip(other) {
        if one.is_finite() && other.is_finite() {
            difference += (one - other).powi(2);
            length += one.powi(2).max(other.powi(2));
        } else if one.total_cmp(other).is_ne() && !(one.is_nan() && other.is_nan()) {
            return false;
        }
    }
    difference <= SAME.powi(2) * length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::RunError;
    use crate::element::ElementType;
    use crate::signature::Dimension;

    /// `x float32[N, 1] -> y`, as a function of the column.
    struct Column<F> {
        signature: Signature,
        function: F,
    }

    impl<F: FnMut(&[f32]) -> Option<Data> + Send + 'static> Column<F> {
        fn new(output: ElementType, function: F) -> Self {
            let (any, one) = (Dimension::Any, Dimension::Fixed(1));
            let signature = Signature {
                inputs: vec![Port::tensor("x", ElementType::F32, [any, one])],
                outputs: vec![Port::tensor("y", output, [any])],
            };
            Self {
                signature,
                function,
            }
        }
    }

    impl<F: FnMut(&[f32]) -> Option<Data> + Send + 'static> Backend for Column<F> {
        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn run(&mut self, inputs: &[&Tensor], _: &Stop) -> Result<Vec<Tensor>, RunError> {
            let DataView::F32(column) = inputs[0].view().data() else {
                panic!("not floats")
            };
            let failed = || RunError::Failed("as asked for".to_owned());
            let data = (self.function)(column).ok_or_else(failed)?;
            Ok(vec![Tensor::new(vec![data.view().len()], data).unwrap()])
        }
    }

    fn independent(function: impl FnMut(&[f32]) -> Option<Data> + Send + 'static) -> Option<bool> {
        rows_are_independent(&mut Column::new(ElementType::F32, function))
    }

    fn each(function: fn(f32) -> f32) -> impl FnMut(&[f32]) -> Option<Data> {
        move |column| {
            Some(
                column
                    .iter()
                    .copied()
                    .map(function)
                    .collect::<Vec<_>>()
                    .into(),
            )
        }
    }

    #[test]
    fn what_is_done_with_each_row_is_independent() {
        assert_eq!(independent(each(|x| 2.0 * x)), Some(true));
        assert_eq!(independent(each(|_| f32::NAN)), Some(true));
        assert_eq!(independent(each(|_| 0.0)), Some(true));
    }

    #[test]
    fn what_depends_on_the_rows_before_or_on_all_is_not() {
        let running_sum = |column: &[f32]| {
            let mut sum = 0.0;
            let sums = column.iter().map(|x| {
                sum += x;
                sum
            });
            Some(sums.collect::<Vec<_>>().into())
        };
        assert_eq!(independent(running_sum), Some(false));
        let share = |column: &[f32]| {
            let sum: f32 = column.iter().map(|x| x.exp()).sum();
            Some(
                column
                    .iter()
                    .map(|x| x.exp() / sum)
                    .collect::<Vec<_>>()
                    .into(),
            )
        };
        assert_eq!(independent(share), Some(false));
        let not_alone = |column: &[f32]| {
            Some(vec![f32::INFINITY; column.len()].into())
                .filter(|_| column.len() > 1)
                .or(Some(vec![1.0_f32].into()))
        };
        assert_eq!(independent(not_alone), Some(false));
    }

    #[test]
    fn rounding_makes_no_difference() {
        let rounded = |column: &[f32]| {
            let noise = 0.001 * column.len() as f32;
            Some(
                column
                    .iter()
                    .map(|x| x * (1.0 + noise))
                    .collect::<Vec<_>>()
                    .into(),
            )
        };
        assert_eq!(independent(rounded), Some(true));
    }

    #[test]
    fn integers_count_where_there_are_no_floats() {
        let places = |column: &[f32]| Some((0..column.len() as i64).collect::<Vec<_>>().into());
        let mut backend = Column::new(ElementType::I64, places);
        assert_eq!(rows_are_independent(&mut backend), Some(false));
    }

    #[test]
    fn without_a_run_nothing_is_known() {
        assert_eq!(independent(|_| None), None);
        let mut unranked = Column::new(ElementType::F32, each(|x| x));
        unranked.signature.inputs[0].shape = None;
        assert_eq!(rows_are_independent(&mut unranked), None);
    }
}
