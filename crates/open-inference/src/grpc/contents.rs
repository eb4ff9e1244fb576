//! Elements in typed lists.

use springtide_inference::{Data, ElementType};

use super::message::InferTensorContents;
use crate::raw;

/// Whether all lists are empty.
pub(super) fn is_empty(contents: &InferTensorContents) -> bool {
    fields(contents).into_iter().all(|(_, count)| count == 0)
}

/// The lists, with their lengths.
const fn fields(contents: &InferTensorContents) -> [(&'static str, usize); 8] {
    [
        ("bool_contents", contents.bool_contents.len()),
        ("int_contents", contents.int_contents.len()),
        ("int64_contents", contents.int64_contents.len()),
        ("uint_contents", contents.uint_contents.len()),
        ("uint64_contents", contents.uint64_contents.len()),
        ("fp32_contents", contents.fp32_contents.len()),
        ("fp64_contents", contents.fp64_contents.len()),
        ("bytes_contents", contents.bytes_contents.len()),
    ]
}

/// The list of a type. None for 16-bit floats, which are always raw.
const fn field(element: ElementType) -> Option<&'static str> {
    Some(match element {
        ElementType::Bool => "bool_contents",
        ElementType::I8 | ElementType::I16 | ElementType::I32 => "int_contents",
        ElementType::I64 => "int64_contents",
        ElementType::U8 | ElementType::U16 | ElementType::U32 => "uint_contents",
        ElementType::U64 => "uint64_contents",
        ElementType::F32 => "fp32_contents",
        ElementType::F64 => "fp64_contents",
        ElementType::String => "bytes_contents",
        ElementType::F16 | ElementType::Bf16 => return None,
    })
}

/// Reads exactly `count` elements.
///
/// # Errors
/// The problem, to follow the input's name.
pub(super) fn read(
    element: ElementType,
    count: usize,
    contents: Option<InferTensorContents>,
) -> Result<Data, String> {
    let contents = contents.unwrap_or_default();
    let Some(field) = field(element) else {
        return Err("16-bit floats need raw_input_contents".to_owned());
    };
    for (name, length) in fields(&contents) {
        let expected = if name == field { count } else { 0 };
        if length != expected {
            return Err(format!(
                "{name} has {length} elements, {expected} are expected"
            ));
        }
    }
    Ok(match element {
        ElementType::Bool => contents.bool_contents.into(),
        ElementType::I8 => narrow::<_, i8>(&contents.int_contents, field)?,
        ElementType::I16 => narrow::<_, i16>(&contents.int_contents, field)?,
        ElementType::I32 => contents.int_contents.into(),
        ElementType::I64 => contents.int64_contents.into(),
        ElementType::U8 => narrow::<_, u8>(&contents.uint_contents, field)?,
        ElementType::U16 => narrow::<_, u16>(&contents.uint_contents, field)?,
        ElementType::U32 => contents.uint_contents.into(),
        ElementType::U64 => contents.uint64_contents.into(),
        ElementType::F32 => contents.fp32_contents.into(),
        ElementType::F64 => contents.fp64_contents.into(),
        ElementType::String | ElementType::F16 | ElementType::Bf16 => {
            let strings = contents.bytes_contents.iter().enumerate();
            let strings = strings.map(|(index, bytes)| raw::string(index, bytes));
            strings.collect::<Result<Vec<_>, _>>()?.into()
        }
    })
}

fn narrow<W: Copy + std::fmt::Display, N: TryFrom<W>>(
    numbers: &[W],
    field: &str,
) -> Result<Data, String>
where
    Data: From<Vec<N>>,
{
    let numbers = numbers.iter().enumerate().map(|(index, number)| {
        N::try_from(*number)
            .map_err(|_| format!("{field}[{index}] is {number}, which the datatype can't hold"))
    });
    Ok(numbers.collect::<Result<Vec<N>, _>>()?.into())
}
