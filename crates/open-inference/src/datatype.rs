//! Names of element types in the protocol.

use springtide_inference::ElementType;

/// The protocol's name of an element type.
#[must_use]
pub const fn name(element: ElementType) -> &'static str {
    match element {
        ElementType::Bool => "BOOL",
        ElementType::U8 => "UINT8",
        ElementType::U16 => "UINT16",
        ElementType::U32 => "UINT32",
        ElementType::U64 => "UINT64",
        ElementType::I8 => "INT8",
        ElementType::I16 => "INT16",
        ElementType::I32 => "INT32",
        ElementType::I64 => "INT64",
        ElementType::F16 => "FP16",
        ElementType::Bf16 => "BF16",
        ElementType::F32 => "FP32",
        ElementType::F64 => "FP64",
        ElementType::String => "BYTES",
    }
}

/// The element type of that name.
pub(crate) fn parse(text: &str) -> Option<ElementType> {
    ElementType::ALL
        .into_iter()
        .find(|element| name(*element) == text)
}

/// The valid datatypes, for errors.
pub(crate) const EXPECTED: &str = "one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, \
                                   INT64, FP16, BF16, FP32, FP64 and BYTES";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_name_of_its_own_that_is_offered() {
        for element in ElementType::ALL {
            assert_eq!(parse(name(element)), Some(element));
            assert!(EXPECTED.contains(name(element)));
        }
        assert_eq!(parse("FLOAT"), None);
        assert_eq!(parse("fp32"), None);
    }
}
