//! Elements as raw bytes: little-endian, row-major, without gaps. A boolean is a byte, 0 or 1. A string is its length in
//! 4 bytes, followed by its bytes.

use half::{bf16, f16};
use springtide_inference::{Data, DataView, ElementType};

/// Bytes of a string's length.
const LENGTH_BYTES: usize = 4;

/// Reads exactly `count` elements. Allocates nothing before the sizes are checked.
///
/// # Errors
/// The problem, to follow the tensor's name.
pub(crate) fn read(element: ElementType, count: usize, bytes: &[u8]) -> Result<Data, String> {
    if let Some(size) = element.bytes()
        && count.checked_mul(size) != Some(bytes.len())
    {
        return Err(format!(
            "{count} elements of {size} bytes are expected, there are {} bytes",
            bytes.len()
        ));
    }
    macro_rules! numbers {
        ($number:ty) => {{
            let (elements, _rest) = bytes.as_chunks();
            let elements = elements.iter().copied().map(<$number>::from_le_bytes);
            Ok(Data::from(elements.collect::<Vec<_>>()))
        }};
    }
    match element {
        ElementType::Bool => booleans(bytes),
        ElementType::U8 => Ok(Data::from(bytes.to_vec())),
        ElementType::U16 => numbers!(u16),
        ElementType::U32 => numbers!(u32),
        ElementType::U64 => numbers!(u64),
        ElementType::I8 => numbers!(i8),
        ElementType::I16 => numbers!(i16),
        ElementType::I32 => numbers!(i32),
        ElementType::I64 => numbers!(i64),
        ElementType::F16 => numbers!(f16),
        ElementType::Bf16 => numbers!(bf16),
        ElementType::F32 => numbers!(f32),
        ElementType::F64 => numbers!(f64),
        ElementType::String => strings(count, bytes),
    }
}

fn booleans(bytes: &[u8]) -> Result<Data, String> {
    if let Some(index) = bytes.iter().position(|byte| *byte > 1) {
        return Err(format!("element {index} is neither 0 nor 1"));
    }
    Ok(Data::from(
        bytes.iter().map(|byte| *byte == 1).collect::<Vec<_>>(),
    ))
}

fn strings(count: usize, mut bytes: &[u8]) -> Result<Data, String> {
    if count
        .checked_mul(LENGTH_BYTES)
        .is_none_or(|lengths| lengths > bytes.len())
    {
        return Err(format!(
            "{count} strings are expected, {} bytes are too few",
            bytes.len()
        ));
    }
    let mut strings = Vec::with_capacity(count);
    for index in 0..count {
        let (length, rest) = bytes
            .split_first_chunk::<LENGTH_BYTES>()
            .ok_or_else(|| format!("the bytes end before string {index} of {count}"))?;
        let length = u32::from_le_bytes(*length);
        let (content, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(|| format!("string {index} has {length} bytes, {} are left", rest.len()))?;
        strings.push(string(index, content)?);
        bytes = rest;
    }
    if !bytes.is_empty() {
        let left = bytes.len();
        return Err(format!("{left} bytes are left after {count} strings"));
    }
    Ok(Data::from(strings))
}

/// A string of a BYTES tensor.
///
/// # Errors
/// When ONNX Runtime can't hold it. The problem is to follow the tensor's name.
pub(crate) fn string(index: usize, bytes: &[u8]) -> Result<String, String> {
    match str::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => {
            Err(format!("string {index} has a NUL, which strings end at"))
        }
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(format!("string {index} isn't UTF-8, which strings must be")),
    }
}

/// Size of the elements, in bytes.
pub(crate) fn size(data: DataView<'_>) -> usize {
    match data {
        DataView::String(strings) => strings
            .iter()
            .map(|string| LENGTH_BYTES + string.len())
            .sum(),
        _ => data.len() * data.element().bytes().unwrap_or(0),
    }
}

/// Appends the elements.
pub(crate) fn write(data: DataView<'_>, out: &mut Vec<u8>) {
    macro_rules! numbers {
        ($numbers:expr) => {{
            // A resize and a plain loop become one copy where the machine is little-endian.
            let start = out.len();
            out.resize(start + size(data), 0);
            let (places, _rest) = out[start..].as_chunks_mut();
            for (place, number) in places.iter_mut().zip($numbers) {
                *place = number.to_le_bytes();
            }
        }};
    }
    match data {
        DataView::Bool(values) => out.extend(values.iter().map(|value| u8::from(*value))),
        DataView::U8(bytes) => out.extend_from_slice(bytes),
        DataView::U16(numbers) => numbers!(numbers),
        DataView::U32(numbers) => numbers!(numbers),
        DataView::U64(numbers) => numbers!(numbers),
        DataView::I8(numbers) => numbers!(numbers),
        DataView::I16(numbers) => numbers!(numbers),
        DataView::I32(numbers) => numbers!(numbers),
        DataView::I64(numbers) => numbers!(numbers),
        DataView::F16(numbers) => numbers!(numbers),
        DataView::Bf16(numbers) => numbers!(numbers),
        DataView::F32(numbers) => numbers!(numbers),
        DataView::F64(numbers) => numbers!(numbers),
        DataView::String(strings) => {
            for string in strings {
                // A message can't contain a longer one.
                let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(string.as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_tensors::{any_tensor, element_type};

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(tensor in any_tensor()) {
            let view = tensor.view();
            let mut bytes = Vec::new();
            write(view.data(), &mut bytes);
            prop_assert_eq!(bytes.len(), size(view.data()));
            let read = read(tensor.element(), view.data().len(), &bytes).unwrap();
            // NaN differs from itself, its bits don't.
            let mut again = Vec::new();
            write(read.view(), &mut again);
            prop_assert_eq!(again, bytes);
            prop_assert_eq!(read.view().element(), tensor.element());
        }

        #[test]
        fn no_bytes_panic(
            element in element_type(),
            count in prop_oneof![0..20_usize, Just(usize::MAX), Just(usize::MAX / 4)],
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Ok(data) = read(element, count, &bytes) {
                prop_assert_eq!(data.view().len(), count);
            }
        }
    }

    #[test]
    fn sizes_must_fit_exactly() {
        for (count, bytes) in [(1, 3), (1, 5), (2, 4), (0, 4), (usize::MAX, 4)] {
            let refused = read(ElementType::F32, count, &vec![0; bytes]).unwrap_err();
            assert!(
                refused.contains(&format!("there are {bytes} bytes")),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_truth_value_is_zero_or_one() {
        assert_eq!(
            read(ElementType::Bool, 2, &[0, 1]),
            Ok(Data::from(vec![false, true]))
        );
        let refused = read(ElementType::Bool, 2, &[0, 2]).unwrap_err();
        assert_eq!(refused, "element 1 is neither 0 nor 1");
    }

    #[test]
    fn strings_are_whole_and_nothing_else() {
        let read = |count, bytes: &[u8]| read(ElementType::String, count, bytes);
        assert_eq!(
            read(2, b"\x01\0\0\0a\0\0\0\0"),
            Ok(Data::from(vec!["a".to_owned(), String::new()]))
        );
        for (count, bytes, problem) in [
            (
                2,
                &b"\x01\0\0\0a"[..],
                "2 strings are expected, 5 bytes are too few",
            ),
            (1, b"\x02\0\0\0a", "string 0 has 2 bytes, 1 are left"),
            (1, b"\x01\0\0\0ab", "1 bytes are left after 1 strings"),
            (2, b"\x02\0\0\0ab\0\0", "the bytes end before string 1 of 2"),
            (
                1,
                b"\x01\0\0\0\xff",
                "string 0 isn't UTF-8, which strings must be",
            ),
            (
                1,
                b"\x01\0\0\0\0",
                "string 0 has a NUL, which strings end at",
            ),
            (
                1,
                b"\xff\xff\xff\xff",
                "string 0 has 4294967295 bytes, 0 are left",
            ),
        ] {
            assert_eq!(read(count, bytes), Err(problem.to_owned()));
        }
    }
}
