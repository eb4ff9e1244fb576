//! Parses the JSON of a request in one pass.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use springtide_inference::{Data, ElementType};

use super::elements::{self, Elements};
use super::parameters::ParameterMap;
use super::reader::{Position, Reader};
use super::values::{Datatype, Shape, Short};
use crate::limits::{MAX_ID_BYTES, MAX_NAME_BYTES, MAX_TENSORS};
use crate::parameters::{InputParameters, OutputParameters, RequestParameters};
use crate::{InvalidRequest, Limits, RequestedOutput};

/// The parsed JSON.
pub(super) struct Header {
    pub(super) id: Option<String>,
    pub(super) parameters: RequestParameters,
    pub(super) inputs: Vec<ReadInput>,
    pub(super) outputs: Vec<RequestedOutput>,
}

/// An input in the JSON.
pub(super) struct ReadInput {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) element: ElementType,
    pub(super) content: Content,
}

/// Elements of an input.
pub(super) enum Content {
    Json(Data),
    /// This number of bytes after the JSON.
    Binary(usize),
}

/// Parses the whole text.
///
/// # Errors
/// The first error.
pub(super) fn read(json: &[u8], limits: &mut Limits) -> Result<Header, InvalidRequest> {
    let mut reader = Reader::new(limits);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let header = Object::<Header>::within(&mut reader)
        .deserialize(&mut deserializer)
        .and_then(|header| deserializer.end().map(|()| header));
    header.map_err(|error| reader.invalid_request(json, &error))
}

/// A type that is parsed from an object.
trait FromObject: Sized {
    /// Its description, for errors.
    const WHAT: &'static str;

    fn read<'de, A: MapAccess<'de>>(reader: &mut Reader<'_>, map: A) -> Result<Self, A::Error>;
}

/// One object.
struct Object<'r, 'l, T> {
    reader: &'r mut Reader<'l>,
    what: PhantomData<T>,
}

impl<'r, 'l, T> Object<'r, 'l, T> {
    const fn within(reader: &'r mut Reader<'l>) -> Self {
        Self {
            reader,
            what: PhantomData,
        }
    }
}

impl<'de, T: FromObject> DeserializeSeed<'de> for Object<'_, '_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: FromObject> Visitor<'de> for Object<'_, '_, T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::read(self.reader, map)
    }
}

/// A list of at most [`MAX_TENSORS`] objects. Null is an empty list.
struct Objects<'r, 'l, T> {
    reader: &'r mut Reader<'l>,
    list: &'static str,
    what: PhantomData<T>,
}

impl<'r, 'l, T> Objects<'r, 'l, T> {
    const fn within(reader: &'r mut Reader<'l>, list: &'static str) -> Self {
        Self {
            reader,
            list,
            what: PhantomData,
        }
    }
}

impl<'de, T: FromObject> DeserializeSeed<'de> for Objects<'_, '_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: FromObject> Visitor<'de> for Objects<'_, '_, T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let Self { reader, list, .. } = self;
        let mut objects = Vec::new();
        loop {
            reader.position = Position {
                item: Some((list, objects.len())),
                ..Position::default()
            };
            let Some(object) = items.next_element_seed(Object::within(reader))? else {
                break;
            };
            if objects.len() == MAX_TENSORS {
                let message = format_args!("more than {MAX_TENSORS} are not allowed");
                return Err(A::Error::custom(message));
            }
            objects.push(object);
        }
        reader.position = Position::default();
        Ok(objects)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum HeaderKey {
    Id,
    Parameters,
    Inputs,
    Outputs,
    #[serde(other)]
    Other,
}

impl FromObject for Header {
    const WHAT: &'static str = "an object with the field inputs";

    fn read<'de, A: MapAccess<'de>>(reader: &mut Reader<'_>, mut map: A) -> Result<Self, A::Error> {
        let (mut id, mut parameters, mut inputs, mut outputs) = (None, None, None, None);
        while let Some(key) = map.next_key()? {
            match key {
                HeaderKey::Id => {
                    reader.enter("id", id.is_some())?;
                    let given = map.next_value::<Option<Short<MAX_ID_BYTES>>>()?;
                    id = Some(given.map(|Short(id)| id));
                }
                HeaderKey::Parameters => {
                    reader.enter("parameters", parameters.is_some())?;
                    parameters = Some(map.next_value_seed(ParameterMap::within(reader))?);
                }
                HeaderKey::Inputs => {
                    reader.enter("inputs", inputs.is_some())?;
                    inputs = Some(map.next_value_seed(Objects::within(reader, "inputs"))?);
                }
                HeaderKey::Outputs => {
                    reader.enter("outputs", outputs.is_some())?;
                    outputs = Some(map.next_value_seed(Objects::within(reader, "outputs"))?);
                }
                HeaderKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            reader.position.field = None;
        }
        Ok(Self {
            id: id.flatten(),
            parameters: parameters.unwrap_or_default(),
            inputs: inputs.ok_or_else(|| A::Error::custom("inputs is required"))?,
            outputs: outputs.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum InputKey {
    Name,
    Shape,
    Datatype,
    Parameters,
    Data,
    #[serde(other)]
    Other,
}

/// `data` of an input.
enum ReadData<'de> {
    Elements(Elements),
    /// It precedes the datatype, so it can't be parsed yet.
    Text(&'de RawValue),
}

impl FromObject for ReadInput {
    const WHAT: &'static str = "an object with name, shape, datatype and data";

    fn read<'de, A: MapAccess<'de>>(reader: &mut Reader<'_>, mut map: A) -> Result<Self, A::Error> {
        let mut parameters: Option<InputParameters> = None;
        let (mut shape, mut element, mut data) = (None, None, None);
        while let Some(key) = map.next_key()? {
            match key {
                InputKey::Name => {
                    reader.enter("name", reader.position.name.is_some())?;
                    let Short(name) = map.next_value::<Short<MAX_NAME_BYTES>>()?;
                    reader.position.name = Some(name);
                }
                InputKey::Shape => {
                    reader.enter("shape", shape.is_some())?;
                    let Shape(lengths) = map.next_value()?;
                    shape = Some(lengths);
                }
                InputKey::Datatype => {
                    reader.enter("datatype", element.is_some())?;
                    let Datatype(datatype) = map.next_value()?;
                    element = Some(datatype);
                }
                InputKey::Parameters => {
                    reader.enter("parameters", parameters.is_some())?;
                    parameters = Some(map.next_value_seed(ParameterMap::within(reader))?);
                }
                InputKey::Data => {
                    reader.enter("data", data.is_some())?;
                    data = Some(match element {
                        Some(element) => {
                            let seed = ElementList { reader, element };
                            ReadData::Elements(map.next_value_seed(seed)?)
                        }
                        None => ReadData::Text(map.next_value()?),
                    });
                }
                InputKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            reader.position.field = None;
        }
        let missing = |field| move || A::Error::custom(format_args!("{field} is required"));
        let shape: Vec<usize> = shape.ok_or_else(missing("shape"))?;
        let element = element.ok_or_else(missing("datatype"))?;
        let size = parameters.and_then(|parameters| parameters.binary_size);
        let content = match (data, size) {
            (None, None) => return Err(missing("data")()),
            (Some(_), Some(_)) => {
                return Err(A::Error::custom("has both data and binary_data_size"));
            }
            (None, Some(size)) => Content::Binary(size),
            (Some(data), None) => {
                let Elements { data, lists } = match data {
                    ReadData::Elements(elements) => elements,
                    ReadData::Text(text) => {
                        reader.position.field = Some("data");
                        let seed = ElementList { reader, element };
                        let mut text = serde_json::Deserializer::from_str(text.get());
                        seed.deserialize(&mut text).map_err(A::Error::custom)?
                    }
                };
                if !lists.fit(&shape) {
                    let message = format_args!("the lists of data aren't those of {shape:?}");
                    return Err(A::Error::custom(message));
                }
                Content::Json(data)
            }
        };
        Ok(Self {
            name: reader.position.name.take().ok_or_else(missing("name"))?,
            shape,
            element,
            content,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutputKey {
    Name,
    Parameters,
    #[serde(other)]
    Other,
}

impl FromObject for RequestedOutput {
    const WHAT: &'static str = "an object with the field name";

    fn read<'de, A: MapAccess<'de>>(reader: &mut Reader<'_>, mut map: A) -> Result<Self, A::Error> {
        let mut parameters: Option<OutputParameters> = None;
        while let Some(key) = map.next_key()? {
            match key {
                OutputKey::Name => {
                    reader.enter("name", reader.position.name.is_some())?;
                    let Short(name) = map.next_value::<Short<MAX_NAME_BYTES>>()?;
                    reader.position.name = Some(name);
                }
                OutputKey::Parameters => {
                    reader.enter("parameters", parameters.is_some())?;
                    parameters = Some(map.next_value_seed(ParameterMap::within(reader))?);
                }
                OutputKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            reader.position.field = None;
        }
        let name = reader.position.name.take();
        Ok(Self {
            name: name.ok_or_else(|| A::Error::custom("name is required"))?,
            binary: parameters.unwrap_or_default().binary,
        })
    }
}

/// The elements of an input.
struct ElementList<'r, 'l> {
    reader: &'r mut Reader<'l>,
    element: ElementType,
}

impl<'de> DeserializeSeed<'de> for ElementList<'_, '_> {
    type Value = Elements;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Elements, D::Error> {
        let Self { reader, element } = self;
        let max = reader.limits.max_elements(element);
        let elements = elements::read(deserializer, element, max, &mut reader.position.element)?;
        reader.limits.spend(element, elements.data.view().len());
        Ok(elements)
    }
}
