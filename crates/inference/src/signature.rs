//! Declarations of a model's inputs and outputs.

use std::fmt;

use crate::element::ElementType;
use crate::tensor::Tensor;

/// Declared length of a dimension.
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

/// Kind of a port's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortKind {
    /// A tensor of these elements.
    Tensor(ElementType),
    /// A sequence, a map, or a tensor of an unsupported type, by its name in ONNX Runtime.
    Other(String),
}

/// One input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the model.
    pub name: String,
    /// Its values.
    pub kind: PortKind,
    /// Its shape: empty for a scalar. None for an unknown rank, and for values that aren't tensors.
    pub shape: Option<Vec<Dimension>>,
    /// Whether an input is optional: the model has a default value for it.
    pub optional: bool,
}

/// A tensor of the wrong type or shape for an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("input {name} takes {expected}, not {given}")]
pub struct PortMismatch {
    /// The input.
    pub name: String,
    /// Expected type and shape: `float32[N, 4]`.
    pub expected: String,
    /// Given type and shape: `float32[1, 5]`.
    pub given: String,
}

impl Port {
    /// A port for tensors of a shape with a known rank.
    #[must_use]
    pub fn tensor(
        name: impl Into<String>,
        element: ElementType,
        shape: impl Into<Vec<Dimension>>,
    ) -> Self {
        Self {
            name: name.into(),
            kind: PortKind::Tensor(element),
            shape: Some(shape.into()),
            optional: false,
        }
    }

    /// The element type. None where the values aren't tensors of a supported type.
    #[must_use]
    pub const fn element(&self) -> Option<ElementType> {
        match self.kind {
            PortKind::Tensor(element) => Some(element),
            PortKind::Other(_) => None,
        }
    }

    /// Whether the first dimension is free.
    fn has_rows(&self) -> bool {
        matches!(self.shape.as_deref(), Some([Dimension::Any, ..]))
    }

    /// Checks a tensor for an input.
    ///
    /// # Errors
    /// When the type, the rank or a fixed dimension differs.
    pub fn check(&self, tensor: &Tensor) -> Result<(), PortMismatch> {
        let fits = |(given, declared): (&usize, &Dimension)| match declared {
            Dimension::Any => true,
            Dimension::Fixed(length) => given == length,
        };
        let shape_fits = self.shape.as_ref().is_none_or(|shape| {
            shape.len() == tensor.shape().len() && tensor.shape().iter().zip(shape).all(fits)
        });
        if self.element() == Some(tensor.element()) && shape_fits {
            return Ok(());
        }
        Err(PortMismatch {
            name: self.name.clone(),
            expected: Type(self).to_string(),
            given: tensor.view().to_string(),
        })
    }
}

/// A port without its name: `float32[N, 4]`, and `float32[…]` where the rank isn't known.
struct Type<'a>(&'a Port);

impl fmt::Display for Type<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            PortKind::Tensor(element) => write!(formatter, "{element}[")?,
            PortKind::Other(name) => return formatter.write_str(name),
        }
        match &self.0.shape {
            None => formatter.write_str("…")?,
            Some(shape) => {
                for (index, dimension) in shape.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(formatter, "{comma}{dimension}")?;
                }
            }
        }
        formatter.write_str("]")
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, Type(self))
    }
}

/// Inputs and outputs of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Inputs in the model's order: first the required ones, then the optional ones.
    pub inputs: Vec<Port>,
    /// Outputs in the model's order.
    pub outputs: Vec<Port>,
}

impl Signature {
    /// The outputs of a run, in its order: those that are tensors. Other outputs are dropped, such as the maps of a
    /// classifier with a ZipMap.
    pub fn tensor_outputs(&self) -> impl Iterator<Item = &Port> {
        self.outputs.iter().filter(|port| port.element().is_some())
    }

    /// The inputs that each request must have.
    pub fn required_inputs(&self) -> impl Iterator<Item = &Port> {
        self.inputs.iter().filter(|port| !port.optional)
    }

    /// Whether there is an axis of rows, along which requests can be stacked: every required input is a tensor whose
    /// first dimension is free, and there is an output. The declared shape of outputs is ignored, since some
    /// exporters declare one row for any number.
    #[must_use]
    pub fn has_row_axis(&self) -> bool {
        let takes_rows = |port: &Port| port.element().is_some() && port.has_rows();
        self.required_inputs().next().is_some()
            && self.required_inputs().all(takes_rows)
            && self.tensor_outputs().next().is_some()
    }

    /// Checks tensors in the order of the required inputs. Lengths that must be equal between inputs are left to
    /// the run.
    ///
    /// # Errors
    /// The first mismatch.
    pub fn check(&self, tensors: &[&Tensor]) -> Result<(), SignatureMismatch> {
        let expected = self.required_inputs().count();
        if tensors.len() != expected {
            return Err(SignatureMismatch::Count {
                expected,
                given: tensors.len(),
            });
        }
        for (port, tensor) in self.required_inputs().zip(tensors) {
            port.check(tensor)?;
        }
        Ok(())
    }
}

/// Tensors that don't match a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureMismatch {
    /// Their number is wrong.
    #[error("the model has {expected} inputs, {given} were given")]
    Count {
        /// Number of required inputs.
        expected: usize,
        /// Number of tensors.
        given: usize,
    },
    /// One has a wrong type or shape.
    #[error(transparent)]
    Port(#[from] PortMismatch),
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Dimension = Dimension::Any;
    const FOUR: Dimension = Dimension::Fixed(4);

    fn zipmap() -> Port {
        Port {
            name: "maps".to_owned(),
            kind: PortKind::Other("Sequence<Map<Int64, Float32>>".to_owned()),
            shape: None,
            optional: false,
        }
    }

    fn unranked() -> Port {
        Port {
            shape: None,
            ..Port::tensor("x", ElementType::F32, [])
        }
    }

    #[test]
    fn a_port_reads_like_a_declaration() {
        let port = Port::tensor("features", ElementType::F32, [ANY, FOUR]);
        assert_eq!(port.to_string(), "features float32[N, 4]");
        assert_eq!(unranked().to_string(), "x float32[…]");
        assert_eq!(zipmap().to_string(), "maps Sequence<Map<Int64, Float32>>");
    }

    #[test]
    fn a_port_takes_its_own_type_and_shape() {
        let port = Port::tensor("x", ElementType::F32, [ANY, FOUR]);
        let zeros = |element, shape: &[usize]| Tensor::zeros(element, shape.to_vec()).unwrap();
        assert_eq!(port.check(&zeros(ElementType::F32, &[7, 4])), Ok(()));
        for (element, shape) in [
            (ElementType::F64, vec![7, 4]),
            (ElementType::F32, vec![7, 5]),
            (ElementType::F32, vec![4]),
            (ElementType::F32, vec![1, 7, 4]),
        ] {
            let refused = port.check(&zeros(element, &shape)).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("input x takes float32[N, 4], not {element}{shape:?}")
            );
        }
        assert_eq!(
            unranked().check(&zeros(ElementType::F32, &[1, 2, 3])),
            Ok(())
        );
        assert!(zipmap().check(&zeros(ElementType::F32, &[1])).is_err());
    }

    #[test]
    fn a_signature_takes_one_tensor_for_each_input() {
        let signature = Signature {
            inputs: vec![Port::tensor("x", ElementType::I64, [])],
            outputs: vec![],
        };
        let scalar = Tensor::zeros(ElementType::I64, vec![]).unwrap();
        assert_eq!(signature.check(&[&scalar]), Ok(()));
        let refused = signature.check(&[&scalar, &scalar]);
        let (expected, given) = (1, 2);
        assert_eq!(refused, Err(SignatureMismatch::Count { expected, given }));
    }

    #[test]
    fn optional_inputs_are_not_counted() {
        let optional = Port {
            optional: true,
            ..Port::tensor("scale", ElementType::F32, [])
        };
        let signature = Signature {
            inputs: vec![Port::tensor("x", ElementType::F32, [ANY]), optional],
            outputs: vec![Port::tensor("y", ElementType::F32, [ANY])],
        };
        let row = Tensor::zeros(ElementType::F32, vec![1]).unwrap();
        assert_eq!(signature.check(&[&row]), Ok(()));
        assert!(signature.check(&[&row, &row]).is_err());
        assert!(signature.has_row_axis());
    }

    #[test]
    fn rows_must_be_free_in_every_input() {
        let rows = |name: &str| Port::tensor(name, ElementType::F32, [ANY, FOUR]);
        let fixed = || Port::tensor("fixed", ElementType::F32, [Dimension::Fixed(1), FOUR]);
        let scalar = || Port::tensor("scalar", ElementType::F32, []);
        let has_row_axis =
            |inputs: Vec<Port>, outputs: Vec<Port>| Signature { inputs, outputs }.has_row_axis();
        assert!(has_row_axis(vec![rows("a"), rows("b")], vec![rows("c")]));
        assert!(
            has_row_axis(vec![rows("a")], vec![fixed(), zipmap()]),
            "an output's declaration isn't believed, and maps aren't given"
        );
        for (inputs, outputs) in [
            (vec![], vec![rows("c")]),
            (vec![rows("a"), fixed()], vec![rows("c")]),
            (vec![rows("a"), scalar()], vec![rows("c")]),
            (vec![unranked()], vec![rows("c")]),
            (vec![zipmap()], vec![rows("c")]),
            (vec![rows("a")], vec![]),
            (vec![rows("a")], vec![zipmap()]),
        ] {
            let shown = format!("{inputs:?} {outputs:?}");
            assert!(!has_row_axis(inputs, outputs), "{shown}");
        }
    }
}
