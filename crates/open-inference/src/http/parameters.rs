//! Parameters in the JSON of a request.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::reader::Reader;
use super::values::{JsonValue, Key};
use crate::limits::MAX_PARAMETERS;
use crate::parameters::Parameters;

/// An object of parameters. Null is an empty object.
pub(super) struct ParameterMap<'r, 'l, P> {
    reader: &'r mut Reader<'l>,
    kind: PhantomData<P>,
}

impl<'r, 'l, P> ParameterMap<'r, 'l, P> {
    pub(super) const fn within(reader: &'r mut Reader<'l>) -> Self {
        Self {
            reader,
            kind: PhantomData,
        }
    }
}

impl<'de, P: Parameters> DeserializeSeed<'de> for ParameterMap<'_, '_, P> {
    type Value = P;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<P, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, P: Parameters> Visitor<'de> for ParameterMap<'_, '_, P> {
    type Value = P;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<P, E> {
        Ok(P::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<P, A::Error> {
        let mut parameters = P::default();
        let mut count = 0;
        while let Some(Key(name)) = map.next_key()? {
            count += 1;
            if count > MAX_PARAMETERS {
                let message = format_args!("more than {MAX_PARAMETERS} are not allowed");
                return Err(A::Error::custom(message));
            }
            let JsonValue(value) = map.next_value()?;
            parameters
                .set(name, &value)
                .map_err(|problem| self.reader.fail::<A::Error>(&problem))?;
        }
        Ok(parameters)
    }
}
