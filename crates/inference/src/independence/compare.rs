//! Compares the outputs of a row in a batch with those of the row alone.

use std::fmt;

use crate::data::DataView;
use crate::tensor::TensorView;

/// Maximum difference of two floats that count as equal. Kernels for other batch sizes add in another order, and the
/// rounding over the depth of a network stays below this.
#[derive(Debug, Clone, Copy)]
struct Tolerance {
    /// Relative to the larger float.
    of_element: f64,
    /// Relative to the root mean square of the row's output, for small differences of large numbers. This is lower,
    /// since an output may have pixels beside probabilities.
    of_output: f64,
}

/// For 32- and 64-bit floats.
const SAME: Tolerance = Tolerance {
    of_element: 1e-3,
    of_output: 1e-4,
};

/// For 16-bit floats, which have 8 to 11 binary digits.
const SAME_16_BITS: Tolerance = Tolerance {
    of_element: 2e-2,
    of_output: 2e-3,
};

/// A difference between a row in a batch and alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Position of the output.
    pub output: usize,
    /// Kind of the difference.
    pub kind: DifferenceKind,
}

/// How two outputs differ.
#[derive(Debug, Clone, PartialEq)]
pub enum DifferenceKind {
    /// The number of outputs differs.
    Count,
    /// A shape or type differs.
    Shape,
    /// An element differs. The values are texts of at most 64 characters.
    Element {
        /// Its value for the row alone.
        alone: String,
        /// Its value in the batch.
        batched: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DifferenceKind::Count => formatter.write_str("it gives another number of outputs"),
            DifferenceKind::Shape => write!(formatter, "output {} has another shape", self.output),
            DifferenceKind::Element { alone, batched } => write!(
                formatter,
                "output {} has {batched} where the row alone has {alone}",
                self.output
            ),
        }
    }
}

/// Compares a row's outputs in a batch with those of the row alone. Floats may differ by 0.1 % of their value, or
/// by 0.01 % of the root mean square of the output; 16-bit floats by 20 times as much. Integers, booleans and strings
/// must be equal. NaN equals only NaN.
///
/// # Errors
/// The first difference.
pub fn compare(alone: &[TensorView<'_>], batched: &[TensorView<'_>]) -> Result<(), Difference> {
    if alone.len() != batched.len() {
        let (output, kind) = (alone.len().min(batched.len()), DifferenceKind::Count);
        return Err(Difference { output, kind });
    }
    for (output, (alone, batched)) in alone.iter().zip(batched).enumerate() {
        if alone.shape() != batched.shape() || alone.element() != batched.element() {
            let kind = DifferenceKind::Shape;
            return Err(Difference { output, kind });
        }
        if let Some(kind) = first_difference(alone.data(), batched.data()) {
            return Err(Difference { output, kind });
        }
    }
    Ok(())
}

fn first_difference(alone: DataView<'_>, batched: DataView<'_>) -> Option<DifferenceKind> {
    macro_rules! exact {
        ($($variant:ident),+) => {
            match (alone, batched) {
                $((DataView::$variant(alone), DataView::$variant(batched)) => {
                    let differ = alone.iter().zip(batched).find(|(one, other)| one != other);
                    return differ.map(|(alone, batched)| element(alone, batched));
                })+
                _ => {}
            }
        };
    }
    exact!(Bool, U8, U16, U32, U64, I8, I16, I32, I64, String);
    let same = match alone {
        DataView::F16(_) | DataView::Bf16(_) => SAME_16_BITS,
        _ => SAME,
    };
    let (alone, batched) = (floats(alone), floats(batched));
    let finite = alone.iter().filter(|number| number.is_finite());
    let (count, squares) = finite.fold((0_u32, 0.0), |(count, squares), number| {
        (count.saturating_add(1), squares + number * number)
    });
    let usual = (squares / f64::from(count.max(1))).sqrt();
    let differ = alone
        .iter()
        .zip(&batched)
        .find(|(one, other)| !are_close(**one, **other, usual, same));
    differ.map(|(alone, batched)| element(alone, batched))
}

/// Infinities must be equal. NaN equals NaN.
fn are_close(one: f64, other: f64, usual: f64, same: Tolerance) -> bool {
    if !one.is_finite() || !other.is_finite() {
        return one == other || (one.is_nan() && other.is_nan());
    }
    let of_element = same.of_element * one.abs().max(other.abs());
    (one - other).abs() <= of_element.max(same.of_output * usual)
}

fn element(alone: &impl fmt::Debug, batched: &impl fmt::Debug) -> DifferenceKind {
    let text = |element: &dyn fmt::Debug| {
        let text = format!("{element:?}");
        text.chars().take(64).collect()
    };
    DifferenceKind::Element {
        alone: text(alone),
        batched: text(batched),
    }
}

fn floats(data: DataView<'_>) -> Vec<f64> {
    match data {
        DataView::F16(elements) => elements.iter().map(|element| element.to_f64()).collect(),
        DataView::Bf16(elements) => elements.iter().map(|element| element.to_f64()).collect(),
        DataView::F32(elements) => elements.iter().copied().map(f64::from).collect(),
        DataView::F64(elements) => elements.to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Data;
    use crate::tensor::Tensor;

    fn compare_elements(
        alone: impl Into<Data>,
        batched: impl Into<Data>,
    ) -> Result<(), DifferenceKind> {
        let tensor = |data: Data| Tensor::new(vec![1, data.view().len()], data).unwrap();
        let (alone, batched) = (tensor(alone.into()), tensor(batched.into()));
        compare(&[alone.view()], &[batched.view()]).map_err(|difference| difference.kind)
    }

    #[test]
    fn rounding_is_no_difference() {
        assert_eq!(
            compare_elements(vec![1.0_f32, 1e-9], vec![1.000_01_f32, -1e-9]),
            Ok(())
        );
        assert_eq!(compare_elements(vec![0.0_f32; 2], vec![0.0_f32; 2]), Ok(()));
        let half = |number: f32| vec![half::f16::from_f32(number)];
        assert_eq!(compare_elements(half(1.0), half(1.01)), Ok(()));
    }

    #[test]
    fn more_than_rounding_is_told_with_the_element() {
        let kind = compare_elements(vec![1.0_f32, 2.0], vec![1.0_f32, 2.01]).unwrap_err();
        let expected = DifferenceKind::Element {
            alone: "2.0".to_owned(),
            batched: "2.009999990463257".to_owned(),
        };
        assert_eq!(kind, expected);
        assert!(compare_elements(vec![0.0_f32], vec![1e-6_f32]).is_err());
        let half = |number: f32| vec![half::f16::from_f32(number)];
        assert!(compare_elements(half(1.0), half(1.1)).is_err());
    }

    #[test]
    fn a_probability_differs_though_it_is_small_beside_pixels() {
        let row = |score: f32| vec![640.0_f32, 480.0, 320.0, 100.0, score];
        assert_eq!(compare_elements(row(0.9), row(0.900_01)), Ok(()));
        assert!(compare_elements(row(0.9), row(0.5)).is_err());
    }

    #[test]
    fn integers_and_strings_agree_exactly_though_there_are_floats_beside_them() {
        assert_eq!(compare_elements(vec![7_i64], vec![7_i64]), Ok(()));
        assert!(compare_elements(vec![7_i64], vec![8_i64]).is_err());
        let text = |text: &str| vec![text.to_owned()];
        assert_eq!(compare_elements(text("a"), text("a")), Ok(()));
        assert!(compare_elements(text("a"), text("b")).is_err());
        assert!(compare_elements(vec![true], vec![false]).is_err());
    }

    #[test]
    fn nan_agrees_with_nan_only_and_infinities_by_their_sign() {
        let (nan, infinite) = (f32::NAN, f32::INFINITY);
        assert_eq!(compare_elements(vec![nan], vec![nan]), Ok(()));
        assert_eq!(compare_elements(vec![infinite], vec![infinite]), Ok(()));
        for (one, other) in [
            (nan, 0.0),
            (0.0, nan),
            (infinite, -infinite),
            (infinite, 1.0),
            (nan, infinite),
        ] {
            assert!(compare_elements(vec![one], vec![other]).is_err());
        }
    }

    #[test]
    fn other_shapes_types_and_counts_are_differences() {
        let one = Tensor::new(vec![1, 2], vec![1.0_f32, 2.0]).unwrap();
        let other = Tensor::new(vec![1, 1, 2], vec![1.0_f32, 2.0]).unwrap();
        let double = Tensor::new(vec![1, 2], vec![1.0_f64, 2.0]).unwrap();
        let kind = |alone: &[&Tensor], batched: &[&Tensor]| {
            let alone: Vec<_> = alone.iter().map(|tensor| tensor.view()).collect();
            let batched: Vec<_> = batched.iter().map(|tensor| tensor.view()).collect();
            compare(&alone, &batched).unwrap_err().kind
        };
        assert_eq!(kind(&[&one], &[&other]), DifferenceKind::Shape);
        assert_eq!(kind(&[&one], &[&double]), DifferenceKind::Shape);
        assert_eq!(kind(&[&one], &[&one, &one]), DifferenceKind::Count);
    }
}
