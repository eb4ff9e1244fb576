//! Trial runs: what a model is fed before it serves, and whether it treats rows as rows.

mod independence;

use std::num::NonZeroUsize;

pub use independence::rows_are_independent;

use crate::data::Data;
use crate::signature::{Dimension, Port, Signature};
use crate::tensor::{Tensor, element_count};

/// Most elements of a trial input: a model may declare any fixed length.
const MAX_ELEMENTS: usize = 1 << 26;

/// Inputs of zeros (`false`, empty strings) for a run with `rows` rows: a free first dimension is
/// `rows` long, every other free one 1. None when nothing can be made up: an input isn't a tensor,
/// doesn't say its rank, or would have more than 2^26 elements.
#[must_use]
pub fn inputs(signature: &Signature, rows: NonZeroUsize) -> Option<Vec<Tensor>> {
    let zeros = |port: &Port| Tensor::zeros(port.element()?, shape(port, rows)?).ok();
    signature.inputs.iter().map(zeros).collect()
}

/// Inputs as [`inputs`] makes them, but of numbers that differ: integers of 1 and 0, which are valid
/// where a model takes positions in a table or a mask, and floats from -0.75 to 0.75. The first is
/// never 0: where all else is of length 1, it is a mask that hides nothing.
pub(crate) fn varied_inputs(signature: &Signature, rows: NonZeroUsize) -> Option<Vec<Tensor>> {
    let varied = |port: &Port| {
        let shape = shape(port, rows)?;
        let count = element_count(&shape)?;
        Tensor::new(shape, Data::varied(port.element()?, count)).ok()
    };
    signature.inputs.iter().map(varied).collect()
}

fn shape(port: &Port, rows: NonZeroUsize) -> Option<Vec<usize>> {
    let length = |(index, dimension): (usize, &Dimension)| match dimension {
        Dimension::Fixed(length) => *length,
        Dimension::Any if index == 0 => rows.get(),
        Dimension::Any => 1,
    };
    let shape: Vec<usize> = port
        .shape
        .as_ref()?
        .iter()
        .enumerate()
        .map(length)
        .collect();
    (element_count(&shape)? <= MAX_ELEMENTS).then_some(shape)
}

/// An output whose rows aren't those that went in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model's output {output} came as {given} for {rows} rows")]
pub struct NotRows {
    /// The output.
    pub output: String,
    /// What came: `float32[1, 3]`.
    pub given: String,
    /// Rows that went in.
    pub rows: usize,
}

/// Whether the outputs of a run with `rows` rows have as many rows. A model whose outputs don't,
/// with 1 row and with 2, can't be batched, whatever it declares.
///
/// # Errors
/// The first output with another number of rows, scalars among them.
pub fn check_rows(
    signature: &Signature,
    outputs: &[Tensor],
    rows: NonZeroUsize,
) -> Result<(), NotRows> {
    for (port, output) in signature.tensor_outputs().zip(outputs) {
        if output.shape().first() != Some(&rows.get()) {
            return Err(NotRows {
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

    fn rows(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn trial_inputs_fit_the_signature() {
        let signature = takes(vec![
            Port::tensor("ids", ElementType::I64, [ANY, ANY]),
            Port::tensor("image", ElementType::U8, [ANY, Dimension::Fixed(3), ANY]),
            Port::tensor("text", ElementType::String, [ANY]),
            Port::tensor("scale", ElementType::F64, []),
        ]);
        let trial = inputs(&signature, rows(5)).unwrap();
        let shapes: Vec<&[usize]> = trial.iter().map(Tensor::shape).collect();
        assert_eq!(shapes, [&[5, 1][..], &[5, 3, 1], &[5], &[]]);
        assert_eq!(signature.check(&trial.iter().collect::<Vec<_>>()), Ok(()));
    }

    #[test]
    fn varied_inputs_differ_and_fit_the_signature() {
        let ports = ElementType::ALL.map(|element| Port::tensor("x", element, [ANY]));
        let signature = takes(ports.to_vec());
        let varied = varied_inputs(&signature, rows(5)).unwrap();
        assert_eq!(signature.check(&varied.iter().collect::<Vec<_>>()), Ok(()));
        for (tensor, zeros) in varied.iter().zip(inputs(&signature, rows(5)).unwrap()) {
            let is_text = tensor.element() == ElementType::String;
            assert_eq!(*tensor == zeros, is_text, "{tensor:?}");
        }
    }

    #[test]
    fn what_can_not_be_made_up() {
        let known = Port::tensor("x", ElementType::F32, [ANY]);
        let unranked = Port {
            shape: None,
            ..known.clone()
        };
        let sequence = Port {
            kind: PortKind::Other("Sequence<Tensor<f32>>".to_owned()),
            ..unranked.clone()
        };
        let huge = Port::tensor("x", ElementType::F32, [ANY, Dimension::Fixed(1 << 26)]);
        assert!(inputs(&takes(vec![huge.clone()]), rows(1)).is_some());
        assert!(inputs(&takes(vec![huge]), rows(2)).is_none());
        for port in [unranked, sequence] {
            assert_eq!(inputs(&takes(vec![known.clone(), port]), rows(1)), None);
        }
    }

    #[test]
    fn outputs_must_have_the_rows_that_went_in() {
        let signature = takes(vec![]);
        let output = |shape: &[usize]| Tensor::zeros(ElementType::F32, shape.to_vec()).unwrap();
        let check = |shape| check_rows(&signature, &[output(shape)], rows(2));
        assert_eq!(check(&[2, 3]), Ok(()));
        assert_eq!(check(&[2]), Ok(()));
        for shape in [&[][..], &[1, 2], &[4, 3]] {
            let refused = check(shape).unwrap_err();
            assert_eq!(refused.output, "y");
        }
    }
}
