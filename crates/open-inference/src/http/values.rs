//! Values in the JSON of a request that are checked independently of their position.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use springtide_inference::ElementType;

use crate::datatype;
use crate::limits::MAX_DIMENSIONS;
use crate::parameters::{Name, Value};

/// The datatype of an input.
pub(super) struct Datatype(pub(super) ElementType);

impl<'de> Deserialize<'de> for Datatype {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Datatype;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(datatype::EXPECTED)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Datatype, E> {
                datatype::parse(text)
                    .map(Datatype)
                    .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// The shape of an input.
pub(super) struct Shape(pub(super) Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Shape;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of lengths")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
                let mut lengths = Vec::new();
                while let Some(length) = items.next_element()? {
                    if lengths.len() == MAX_DIMENSIONS {
                        let message = format_args!("has more than {MAX_DIMENSIONS} dimensions");
                        return Err(A::Error::custom(message));
                    }
                    lengths.push(length);
                }
                Ok(Shape(lengths))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// The name of a parameter.
pub(super) struct Key(pub(super) Name);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Key;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a parameter")
            }

            fn visit_str<E>(self, text: &str) -> Result<Key, E> {
                Ok(Key(Name::of(text)))
            }
        }

        deserializer.deserialize_identifier(Text)
    }
}

/// The value of a parameter.
pub(super) struct JsonValue(pub(super) Value);

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = JsonValue;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<JsonValue, E> {
                Ok(JsonValue(Value::Bool(value)))
            }

            fn visit_u64<E>(self, number: u64) -> Result<JsonValue, E> {
                Ok(JsonValue(Value::Integer(number.into())))
            }

            fn visit_i64<E>(self, number: i64) -> Result<JsonValue, E> {
                Ok(JsonValue(Value::Integer(number.into())))
            }

            fn visit_f64<E>(self, _: f64) -> Result<JsonValue, E> {
                Ok(JsonValue(Value::Other))
            }

            fn visit_str<E>(self, text: &str) -> Result<JsonValue, E> {
                Ok(JsonValue(Value::Text(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<JsonValue, E> {
                Ok(JsonValue(Value::Other))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<JsonValue, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(JsonValue(Value::Other))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonValue, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(JsonValue(Value::Other))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// A string with a maximum length in bytes.
pub(super) struct Short<const MAX_BYTES: usize>(pub(super) String);

impl<'de, const MAX_BYTES: usize> Deserialize<'de> for Short<MAX_BYTES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > MAX_BYTES {
            let length = text.len();
            let message = format_args!("has {length} bytes, at most {MAX_BYTES} are allowed");
            return Err(D::Error::custom(message));
        }
        Ok(Self(text))
    }
}
