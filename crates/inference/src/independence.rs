//! Trial runs that check whether the rows of a batch are independent.
//!
//! A model declares little about the values that it takes. [`RowGenerator`] generates rows from what the
//! graph shows ([`springtide_rows::candidates`]), and takes the rows that the model's owner ships.
//! [`check_independence`] runs such rows alone and in batches, and compares the outputs. A trial can show
//! that rows depend on each other. It can't prove the opposite, and where the model doesn't run it shows
//! nothing.

mod check;
mod compare;
mod row_generator;

use std::num::NonZeroUsize;

pub use check::{CheckOutcome, Effort, check_independence};
pub use compare::{Difference, compare};
pub use row_generator::{RowGenerator, RowSource};

use crate::data::Data;
use crate::signature::{Dimension, Port, Signature};
use crate::tensor::{Tensor, element_count};

/// Maximum number of elements of a generated input: a model may declare any fixed length.
const MAX_ELEMENTS: usize = 1 << 26;

/// Inputs of one row with varied values: integers 1 and 0, which are valid as table positions and masks, and floats
/// from -0.75 to 0.75. Free dimensions have length 1. None where an input isn't a tensor, has no rank, or has more
/// than 2^26 elements.
pub(crate) fn varied_inputs(signature: &Signature) -> Option<Vec<Tensor>> {
    let varied = |port: &Port| {
        let length = |dimension: &Dimension| match dimension {
            Dimension::Fixed(length) => *length,
            Dimension::Any => 1,
        };
        let shape: Vec<usize> = port.shape.as_ref()?.iter().map(length).collect();
        let count = element_count(&shape).filter(|count| *count <= MAX_ELEMENTS)?;
        Tensor::new(shape, Data::varied(port.element()?, count)).ok()
    };
    signature.required_inputs().map(varied).collect()
}

/// An output with another number of rows than the inputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model's output {output} is {given} for {rows} rows")]
pub struct RowCountMismatch {
    /// The output.
    pub output: String,
    /// Its type and shape: `float32[1, 3]`.
    pub given: String,
    /// Rows of the inputs.
    pub rows: usize,
}

/// Checks that each output of a run has `rows` rows. Otherwise the model can't be batched, whatever it declares.
///
/// # Errors
/// The first output with another number of rows, or a scalar.
pub fn check_row_counts(
    signature: &Signature,
    outputs: &[Tensor],
    rows: NonZeroUsize,
) -> Result<(), RowCountMismatch> {
    for (port, output) in signature.tensor_outputs().zip(outputs) {
        if output.shape().first() != Some(&rows.get()) {
            return Err(RowCountMismatch {
                output: port.name.clone(),
                given: output.view().to_string(),
                rows: rows.get(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::ElementType;
    use crate::signature::PortKind;

    const ANY: Dimension = Dimension::Any;

    fn takes(inputs: Vec<Port>) -> Signature {
        Signature {
            inputs,
            outputs: vec![Port::tensor("y", ElementType::F32, [ANY])],
        }
    }

    #[test]
    fn varied_inputs_fit_the_signature() {
        let signature = takes(vec![
            Port::tensor("ids", ElementType::I64, [ANY, ANY]),
            Port::tensor("image", ElementType::U8, [ANY, Dimension::Fixed(3), ANY]),
            Port::tensor("scale", ElementType::F64, []),
        ]);
        let inputs = varied_inputs(&signature).unwrap();
        let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
        assert_eq!(shapes, [&[1, 1][..], &[1, 3, 1], &[]]);
        assert_eq!(signature.check(&inputs.iter().collect::<Vec<_>>()), Ok(()));
    }

    #[test]
    fn nothing_is_made_up_for_what_is_not_a_tensor_or_too_large() {
        let maps = Port {
            name: "maps".to_owned(),
            kind: PortKind::Other("Map<Int64, Float32>".to_owned()),
            shape: None,
            optional: false,
        };
        assert_eq!(varied_inputs(&takes(vec![maps])), None);
        let unranked = Port {
            shape: None,
            ..Port::tensor("x", ElementType::F32, [])
        };
        assert_eq!(varied_inputs(&takes(vec![unranked])), None);
        for huge in [1 << 27, usize::MAX] {
            let port = Port::tensor("x", ElementType::F32, [ANY, Dimension::Fixed(huge)]);
            assert_eq!(varied_inputs(&takes(vec![port])), None);
        }
    }

    #[test]
    fn outputs_without_the_rows_are_told() {
        let signature = takes(vec![Port::tensor("x", ElementType::F32, [ANY])]);
        let rows = |count| NonZeroUsize::new(count).unwrap();
        let output = |shape: &[usize]| Tensor::zeros(ElementType::F32, shape.to_vec()).unwrap();
        assert_eq!(
            check_row_counts(&signature, &[output(&[2, 3])], rows(2)),
            Ok(())
        );
        for shape in [&[1, 3][..], &[]] {
            let refused = check_row_counts(&signature, &[output(shape)], rows(2)).unwrap_err();
            assert_eq!(refused.output, "y");
        }
    }
}
