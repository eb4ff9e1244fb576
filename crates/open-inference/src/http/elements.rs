//! Elements in JSON: a flat list, or nested lists of the tensor's shape. They are parsed directly into a vector of the
//! tensor's type.

use std::fmt;
use std::marker::PhantomData;

use half::{bf16, f16};
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Unexpected, Visitor};
use springtide_inference::{Data, ElementType};

use crate::limits::{MAX_DIMENSIONS, MaxElements};

/// An element type that JSON can represent.
trait Element: Sized {
    /// The expected text, for errors.
    const EXPECTED: &'static str;

    fn from_bool(_: bool) -> Option<Self> {
        None
    }

    fn from_unsigned(_: u64) -> Option<Self> {
        None
    }

    fn from_negative(_: i64) -> Option<Self> {
        None
    }

    fn from_float(_: f64) -> Option<Self> {
        None
    }

    fn from_text(_: &str) -> Option<Self> {
        None
    }
}

impl Element for bool {
    const EXPECTED: &'static str = "true, false, 0 or 1";

    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }

    fn from_unsigned(number: u64) -> Option<Self> {
        (number <= 1).then_some(number == 1)
    }
}

macro_rules! integers {
    ($($integer:ty: $expected:literal,)+) => {$(
        impl Element for $integer {
            const EXPECTED: &'static str = $expected;

            fn from_unsigned(number: u64) -> Option<Self> {
                number.try_into().ok()
            }

            fn from_negative(number: i64) -> Option<Self> {
                number.try_into().ok()
            }
        }
    )+};
}

integers! {
    u8: "an integer from 0 to 255",
    u16: "an integer from 0 to 65535",
    u32: "an integer from 0 to 4294967295",
    u64: "an integer from 0 to 18446744073709551615",
    i8: "an integer from -128 to 127",
    i16: "an integer from -32768 to 32767",
    i32: "an integer from -2147483648 to 2147483647",
    i64: "an integer from -9223372036854775808 to 9223372036854775807",
}

macro_rules! floats {
    ($($float:ty: $expected:literal, $round:expr;)+) => {$(
        impl Element for $float {
            const EXPECTED: &'static str = $expected;

            #[expect(clippy::cast_precision_loss, reason = "rounding is meant")]
            fn from_unsigned(number: u64) -> Option<Self> {
                Self::from_float(number as f64)
            }

            #[expect(clippy::cast_precision_loss, reason = "rounding is meant")]
            fn from_negative(number: i64) -> Option<Self> {
                Self::from_float(number as f64)
            }

            fn from_float(number: f64) -> Option<Self> {
                let round: fn(f64) -> $float = $round;
                Some(round(number)).filter(|rounded| rounded.is_finite())
            }
        }
    )+};
}

floats! {
    f16: "a number that FP16 can hold", f16::from_f64;
    bf16: "a number that BF16 can hold", bf16::from_f64;
    f32: "a number that FP32 can hold", to_f32;
    f64: "a number", std::convert::identity;
}

#[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
const fn to_f32(number: f64) -> f32 {
    number as f32
}

impl Element for String {
    const EXPECTED: &'static str = "a string without NUL";

    fn from_text(text: &str) -> Option<Self> {
        (!text.contains('\0')).then(|| text.to_owned())
    }
}

/// Elements, and the lists that contain them.
#[derive(Debug, PartialEq)]
pub(super) struct Elements {
    pub(super) data: Data,
    pub(super) lists: Lists,
}

/// The lists that contain the elements.
#[derive(Debug, PartialEq)]
pub(super) enum Lists {
    /// One flat list.
    Flat,
    /// Nested lists, with their length at each depth.
    Nested {
        lengths: Vec<usize>,
        /// Whether the innermost lists are empty, so that further dimensions are unknown.
        empty: bool,
    },
}

impl Lists {
    /// Whether they match a shape. A flat list matches any.
    pub(super) fn fit(&self, shape: &[usize]) -> bool {
        match self {
            Self::Flat => true,
            Self::Nested { lengths, empty } => {
                lengths == shape || (*empty && shape.starts_with(lengths))
            }
        }
    }
}

/// Length of the lists at each depth. All lists at one depth must have the same length.
#[derive(Default)]
struct Nesting {
    lengths: [Option<usize>; MAX_DIMENSIONS],
    /// Number of lists around an element, after the first one.
    depth: Option<usize>,
}

impl Nesting {
    /// Adds an element at this depth.
    fn element(&mut self, depth: usize) -> Result<(), &'static str> {
        if self.depth == Some(depth) {
            return Ok(());
        }
        let list_here = self.lengths.get(depth).is_some_and(Option::is_some);
        if self.depth.is_some() || list_here {
            return Err("lists and elements are mixed");
        }
        self.depth = Some(depth);
        Ok(())
    }

    /// Begins a list at this depth.
    fn begin(&self, depth: usize) -> Result<(), &'static str> {
        if depth >= MAX_DIMENSIONS {
            return Err("the lists are nested too deeply");
        }
        if self.depth.is_some_and(|elements| elements <= depth) {
            return Err("lists and elements are mixed");
        }
        Ok(())
    }

    /// Ends a list at this depth with its number of items.
    fn end(&mut self, depth: usize, length: usize) -> Result<(), &'static str> {
        if *self.lengths[depth].get_or_insert(length) == length {
            Ok(())
        } else {
            Err("the lists differ in length")
        }
    }

    fn lists(&self) -> Lists {
        if self.lengths[1].is_none() {
            return Lists::Flat;
        }
        Lists::Nested {
            lengths: self
                .lengths
                .iter()
                .copied()
                .map_while(|length| length)
                .collect(),
            empty: self.depth.is_none(),
        }
    }
}

/// Parses at most `max` elements. On an error, `failed_at` is the position of the element.
pub(super) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
    element: ElementType,
    max: MaxElements,
    failed_at: &mut Option<usize>,
) -> Result<Elements, D::Error> {
    macro_rules! list {
        ($element:ty) => {{
            let mut list = List::<'_, $element> {
                elements: Vec::new(),
                nesting: Nesting::default(),
                max,
                failed_at,
            };
            let depth = 0;
            Value {
                list: &mut list,
                depth,
            }
            .deserialize(deserializer)?;
            Ok(Elements {
                data: list.elements.into(),
                lists: list.nesting.lists(),
            })
        }};
    }
    match element {
        ElementType::Bool => list!(bool),
        ElementType::U8 => list!(u8),
        ElementType::U16 => list!(u16),
        ElementType::U32 => list!(u32),
        ElementType::U64 => list!(u64),
        ElementType::I8 => list!(i8),
        ElementType::I16 => list!(i16),
        ElementType::I32 => list!(i32),
        ElementType::I64 => list!(i64),
        ElementType::F16 => list!(f16),
        ElementType::Bf16 => list!(bf16),
        ElementType::F32 => list!(f32),
        ElementType::F64 => list!(f64),
        ElementType::String => list!(String),
    }
}

struct List<'f, T> {
    elements: Vec<T>,
    nesting: Nesting,
    max: MaxElements,
    failed_at: &'f mut Option<usize>,
}

/// An element or a list, at some depth.
struct Value<'l, 'f, T> {
    list: &'l mut List<'f, T>,
    depth: usize,
}

impl<T: Element> Value<'_, '_, T> {
    fn keep<E: serde::de::Error>(self, element: Option<T>, found: Unexpected<'_>) -> Result<(), E> {
        let Self { list, depth } = self;
        let Some(element) = element.filter(|_| depth > 0) else {
            return Err(E::invalid_value(found, &Expected::<T>::at(depth)));
        };
        list.nesting.element(depth).map_err(E::custom)?;
        if list.elements.len() == list.max.count {
            let MaxElements { count, .. } = list.max;
            let origin = list.max.origin();
            return Err(E::custom(format_args!(
                "there are more than {count} elements{origin}"
            )));
        }
        list.elements.push(element);
        Ok(())
    }
}

/// The expected item at a depth.
struct Expected<T> {
    depth: usize,
    element: PhantomData<T>,
}

impl<T> Expected<T> {
    const fn at(depth: usize) -> Self {
        Self {
            depth,
            element: PhantomData,
        }
    }
}

impl<T: Element> serde::de::Expected for Expected<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.depth == 0 {
            formatter.write_str("a list whose elements are each ")?;
        }
        formatter.write_str(T::EXPECTED)
    }
}

impl<'de, T: Element> DeserializeSeed<'de> for Value<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for Value<'_, '_, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        serde::de::Expected::fmt(&Expected::<T>::at(self.depth), formatter)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.keep(T::from_bool(value), Unexpected::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.keep(T::from_unsigned(number), Unexpected::Unsigned(number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        let element = match u64::try_from(number) {
            Ok(number) => T::from_unsigned(number),
            Err(_) => T::from_negative(number),
        };
        self.keep(element, Unexpected::Signed(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.keep(T::from_float(number), Unexpected::Float(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.keep(T::from_text(text), Unexpected::Str(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { list, depth } = self;
        list.nesting.begin(depth).map_err(A::Error::custom)?;
        let mut length = 0;
        loop {
            let depth = depth + 1;
            match items.next_element_seed(Value { list, depth }) {
                Ok(Some(())) => length += 1,
                Ok(None) => break,
                Err(error) => {
                    *list.failed_at = Some(list.elements.len());
                    return Err(error);
                }
            }
        }
        list.nesting.end(depth, length).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests;
