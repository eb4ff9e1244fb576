//! Elements of tensors, one vector or slice for each type.

use std::borrow::Cow;
use std::ops::Range;

use half::{bf16, f16};

use crate::element::ElementType;

macro_rules! elements {
    ($($(#[$doc:meta])* $variant:ident($element:ty),)+) => {
        /// A tensor's elements, row-major.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Data {
            $($(#[$doc])* $variant(Vec<$element>),)+
        }

        /// A tensor's elements, borrowed.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum DataView<'a> {
            $($(#[$doc])* $variant(&'a [$element]),)+
        }

        $(
            impl From<Vec<$element>> for Data {
                fn from(elements: Vec<$element>) -> Self {
                    Self::$variant(elements)
                }
            }

            impl<'a> From<&'a [$element]> for DataView<'a> {
                fn from(elements: &'a [$element]) -> Self {
                    Self::$variant(elements)
                }
            }
        )+

        impl Data {
            /// Zeros: `false`, 0 and empty strings. Allocates all of them, so the caller must limit
            /// `count`.
            #[must_use]
            pub fn zeros(element: ElementType, count: usize) -> Self {
                match element {
                    $(ElementType::$variant => Self::$variant(vec![<$element>::default(); count]),)+
                }
            }

            /// Elements that differ: a truth value or integer is 1 or 0, a float from -0.75 to 0.75,
            /// a string is empty.
            pub(crate) fn varied(element: ElementType, count: usize) -> Self {
                match element {
                    $(ElementType::$variant => Self::$variant((0..count).map(Varied::at).collect()),)+
                }
            }

            /// The elements, borrowed.
            #[must_use]
            pub fn view(&self) -> DataView<'_> {
                match self {
                    $(Self::$variant(elements) => DataView::$variant(elements),)+
                }
            }

            /// The parts, concatenated. None when there is none or their types differ.
            pub(crate) fn concatenate(parts: &[&Self]) -> Option<Self> {
                let count = parts.iter().map(|part| part.view().len()).sum();
                match parts.first()? {
                    $(Self::$variant(_) => {
                        let mut all = Vec::with_capacity(count);
                        for part in parts {
                            let Self::$variant(elements) = part else {
                                return None;
                            };
                            all.extend_from_slice(elements);
                        }
                        Some(Self::$variant(all))
                    })+
                }
            }
        }

        impl<'a> DataView<'a> {
            /// The elements' type.
            #[must_use]
            pub const fn element(&self) -> ElementType {
                match self {
                    $(Self::$variant(_) => ElementType::$variant,)+
                }
            }

            /// Number of elements.
            #[must_use]
            pub const fn len(&self) -> usize {
                match self {
                    $(Self::$variant(elements) => elements.len(),)+
                }
            }

            /// Whether there is no element.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Some of the elements; None beyond their end.
            #[must_use]
            pub fn get(&self, range: Range<usize>) -> Option<DataView<'a>> {
                match self {
                    $(Self::$variant(elements) => elements.get(range).map(DataView::$variant),)+
                }
            }

            /// The elements, copied.
            #[must_use]
            pub fn to_data(&self) -> Data {
                match self {
                    $(Self::$variant(elements) => Data::$variant(elements.to_vec()),)+
                }
            }
        }
    };
}

elements! {
    /// Truth values.
    Bool(bool),
    /// 8-bit unsigned integers.
    U8(u8),
    /// 16-bit unsigned integers.
    U16(u16),
    /// 32-bit unsigned integers.
    U32(u32),
    /// 64-bit unsigned integers.
    U64(u64),
    /// 8-bit integers.
    I8(i8),
    /// 16-bit integers.
    I16(i16),
    /// 32-bit integers.
    I32(i32),
    /// 64-bit integers.
    I64(i64),
    /// IEEE 754 16-bit floats.
    F16(f16),
    /// Upper halves of 32-bit floats.
    Bf16(bf16),
    /// 32-bit floats.
    F32(f32),
    /// 64-bit floats.
    F64(f64),
    /// UTF-8 strings without NUL.
    String(String),
}

impl<'a> DataView<'a> {
    /// Floats of any size as 32-bit floats, rounded to the nearest. None for other types.
    #[must_use]
    pub fn floats(&self) -> Option<Cow<'a, [f32]>> {
        // A double beyond the range becomes infinite.
        #[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
        let rounded = |number: &f64| *number as f32;
        match *self {
            Self::F32(numbers) => Some(Cow::Borrowed(numbers)),
            Self::F64(numbers) => Some(numbers.iter().map(rounded).collect()),
            Self::F16(numbers) => Some(numbers.iter().map(|number| number.to_f32()).collect()),
            Self::Bf16(numbers) => Some(numbers.iter().map(|number| number.to_f32()).collect()),
            _ => None,
        }
    }
}

/// Elements that differ with their position.
trait Varied {
    fn at(position: usize) -> Self;
}

macro_rules! varied {
    ($($element:ty: $position:ident => $value:expr;)+) => {
        $(impl Varied for $element {
            fn at($position: usize) -> Self {
                $value
            }
        })+
    };
}

varied! {
    bool: position => position.is_multiple_of(2);
    u8: position => u8::from(bool::at(position));
    u16: position => u16::from(bool::at(position));
    u32: position => u32::from(bool::at(position));
    u64: position => u64::from(bool::at(position));
    i8: position => i8::from(bool::at(position));
    i16: position => i16::from(bool::at(position));
    i32: position => i32::from(bool::at(position));
    i64: position => i64::from(bool::at(position));
    f16: position => f16::from_f32(f32::at(position));
    bf16: position => bf16::from_f32(f32::at(position));
    f32: position => [0.25, -0.5, 0.75, 0.0, -0.75, 0.5, -0.25][position % 7];
    f64: position => f64::from(f32::at(position));
    String: _position => Self::new();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_of_every_type() {
        for element in ElementType::ALL {
            let zeros = Data::zeros(element, 3);
            assert_eq!(zeros.view().element(), element);
            assert_eq!(zeros.view().len(), 3);
            assert_eq!(zeros.view().to_data(), zeros);
        }
    }

    #[test]
    fn concatenating_keeps_the_order_and_refuses_mixed_types() {
        let (first, second) = (Data::from(vec![1_i32, 2]), Data::from(vec![3_i32]));
        assert_eq!(
            Data::concatenate(&[&first, &second]),
            Some(Data::I32(vec![1, 2, 3]))
        );
        assert_eq!(Data::concatenate(&[&first, &Data::F32(vec![3.0])]), None);
        assert_eq!(Data::concatenate(&[]), None);
    }

    #[test]
    fn floats_of_any_size_are_32_bit_floats() {
        let half = [f16::from_f32(0.5)];
        assert_eq!(DataView::F16(&half).floats().as_deref(), Some(&[0.5][..]));
        let upper = [bf16::from_f32(-2.0)];
        assert_eq!(
            DataView::Bf16(&upper).floats().as_deref(),
            Some(&[-2.0][..])
        );
        let doubles = [0.1, 1e300];
        let rounded = [0.1_f32, f32::INFINITY];
        assert_eq!(
            DataView::F64(&doubles).floats().as_deref(),
            Some(&rounded[..])
        );
        assert_eq!(DataView::I64(&[1]).floats(), None);
    }

    #[test]
    fn a_range_beyond_the_end_is_none() {
        let data = Data::from(vec!["a".to_owned(), "b".to_owned()]);
        let last = ["b".to_owned()];
        assert_eq!(data.view().get(1..2), Some(DataView::String(&last)));
        assert_eq!(data.view().get(1..3), None);
    }
}
