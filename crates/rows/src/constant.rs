//! The model's own constants: reading the small ones.

use std::rc::Rc;

use crate::dimension::Dim;
use crate::proto::{TensorProto, element};
use crate::value::Value;

/// The most elements of a tensor that the arithmetic on shapes follows.
pub(crate) const MAXIMUM_CONTENT: usize = 4096;

/// The data is in another file.
const EXTERNAL: i32 = 1;

/// The value of a constant: its shape, and its elements where they are few integers.
pub(crate) fn value(tensor: &TensorProto) -> Value<'_> {
    let shape = tensor
        .dims
        .iter()
        .map(|length| Dim::from(*length))
        .collect();
    let mut value = Value::invariant(Some(shape)).of_element(tensor.data_type);
    value.literal = Some(tensor);
    // Arithmetic on smaller integers would wrap.
    let followed = matches!(
        tensor.data_type,
        element::INT64 | element::INT32 | element::BOOL
    );
    value.content = integers(tensor).filter(|_| followed).map(|integers| {
        Rc::new(
            integers
                .into_iter()
                .map(|integer| Some(Dim::from(integer)))
                .collect(),
        )
    });
    value
}

/// The number of elements, where the shape is one.
pub(crate) fn elements(tensor: &TensorProto) -> Option<usize> {
    tensor.dims.iter().try_fold(1_usize, |count, length| {
        count.checked_mul(usize::try_from(*length).ok()?)
    })
}

/// The elements of a small tensor of integers or booleans.
pub(crate) fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    let count = elements(tensor).filter(|count| *count <= MAXIMUM_CONTENT)?;
    if tensor.data_location == EXTERNAL {
        return None;
    }
    let raw = &tensor.raw_data;
    let from_raw = !raw.is_empty();
    let found: Vec<i64> = match tensor.data_type {
        element::INT64 if from_raw => raw
            .as_chunks()
            .0
            .iter()
            .map(|bytes| i64::from_le_bytes(*bytes))
            .collect(),
        element::INT64 => tensor.int64_data.clone(),
        element::INT32 if from_raw => raw
            .as_chunks()
            .0
            .iter()
            .map(|bytes| i64::from(i32::from_le_bytes(*bytes)))
            .collect(),
        element::INT16 if from_raw => raw
            .as_chunks()
            .0
            .iter()
            .map(|bytes| i64::from(i16::from_le_bytes(*bytes)))
            .collect(),
        element::UINT16 if from_raw => raw
            .as_chunks()
            .0
            .iter()
            .map(|bytes| i64::from(u16::from_le_bytes(*bytes)))
            .collect(),
        element::INT8 if from_raw => raw
            .iter()
            .map(|byte| i64::from(byte.cast_signed()))
            .collect(),
        element::UINT8 | element::BOOL if from_raw => {
            raw.iter().map(|byte| i64::from(*byte)).collect()
        }
        element::INT32
        | element::INT16
        | element::UINT16
        | element::INT8
        | element::UINT8
        | element::BOOL => tensor
            .int32_data
            .iter()
            .map(|integer| i64::from(*integer))
            .collect(),
        _ => return None,
    };
    (found.len() == count).then_some(found)
}

/// The elements of a small tensor of floats.
pub(crate) fn floats(tensor: &TensorProto) -> Option<Vec<f64>> {
    let count = elements(tensor).filter(|count| *count <= MAXIMUM_CONTENT)?;
    if tensor.data_location == EXTERNAL {
        return None;
    }
    let raw = &tensor.raw_data;
    let found: Vec<f64> = match tensor.data_type {
        element::FLOAT if raw.is_empty() => tensor
            .float_data
            .iter()
            .map(|float| f64::from(*float))
            .collect(),
        element::FLOAT => raw
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f64::from(f32::from_le_bytes(*bytes)))
            .collect(),
        element::DOUBLE if raw.is_empty() => tensor.double_data.clone(),
        element::DOUBLE => raw
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f64::from_le_bytes(*bytes))
            .collect(),
        _ => return None,
    };
    (found.len() == count).then_some(found)
}
