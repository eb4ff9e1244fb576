//! Conversion of tensors from and to ONNX Runtime.

use ort::session::SessionInputValue;
use ort::value::{DynValue, Outlet, Shape, TensorElementType, TensorRef, ValueType};

use crate::data::Data;
use crate::element::ElementType;
use crate::signature::{Dimension, Port, PortKind};
use crate::tensor::Tensor;

macro_rules! primitives {
    ($($variant:ident($theirs:ident),)+) => {
        fn element(theirs: TensorElementType) -> Option<ElementType> {
            match theirs {
                $(TensorElementType::$theirs => Some(ElementType::$variant),)+
                TensorElementType::String => Some(ElementType::String),
                _ => None,
            }
        }

        /// A tensor as an input, without a copy of its elements; strings are copied.
        pub(super) fn input(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
            let shape = tensor.shape();
            match tensor.data() {
                $(Data::$variant(elements) => {
                    TensorRef::from_array_view((shape, &**elements)).map(Into::into)
                })+
                Data::String(elements) => {
                    ort::value::Tensor::from_string_array((shape, &**elements)).map(Into::into)
                }
            }
        }

        fn extract(value: &DynValue, element: ElementType) -> ort::Result<(&Shape, Data)> {
            match element {
                $(ElementType::$variant => {
                    let (shape, elements) = value.try_extract_tensor()?;
                    Ok((shape, Data::$variant(elements.to_vec())))
                })+
                ElementType::String => {
                    let (shape, elements) = value.try_extract_strings()?;
                    Ok((shape, Data::String(elements)))
                }
            }
        }
    };
}

primitives! {
    Bool(Bool),
    U8(Uint8),
    U16(Uint16),
    U32(Uint32),
    U64(Uint64),
    I8(Int8),
    I16(Int16),
    I32(Int32),
    I64(Int64),
    F16(Float16),
    Bf16(Bfloat16),
    F32(Float32),
    F64(Float64),
}

/// An output, copied out of ONNX Runtime's memory. It must be of the declared type.
///
/// # Errors
/// The problem, for a message.
pub(super) fn output(value: &DynValue, element: ElementType) -> Result<Tensor, String> {
    // A sparse tensor has the type of a tensor, and ort would misread its memory.
    if !value.is_tensor() {
        return Err("not a dense tensor".to_owned());
    }
    let (shape, data) = extract(value, element).map_err(|error| error.to_string())?;
    let shape = shape
        .iter()
        .map(|&length| usize::try_from(length))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("a negative length in {shape}"))?;
    Tensor::new(shape, data).map_err(|error| error.to_string())
}

/// The declaration of an input or output.
pub(super) fn port(outlet: &Outlet) -> Port {
    port_of(outlet.name(), outlet.dtype())
}

/// A port of this name and type.
pub(super) fn port_of(name: &str, value_type: &ValueType) -> Port {
    let name = name.to_owned();
    let (kind, shape) = match value_type {
        ValueType::Tensor { ty, shape, .. } => {
            let kind = element(*ty).map_or_else(
                || PortKind::Other(format!("tensor({ty})")),
                PortKind::Tensor,
            );
            (kind, Some(shape.iter().copied().map(dimension).collect()))
        }
        other => (PortKind::Other(other.to_string()), None),
    };
    Port {
        name,
        kind,
        shape,
        optional: false,
    }
}

/// ONNX Runtime has -1 for any length.
fn dimension(length: i64) -> Dimension {
    usize::try_from(length).map_or(Dimension::Any, Dimension::Fixed)
}
