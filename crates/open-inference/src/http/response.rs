//! Writes responses.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use springtide_inference::DataView;

use crate::{InferResponse, NotFinite, datatype, raw};

/// Approximate size of the JSON of a response without elements, in bytes.
const BYTES_BESIDE_ELEMENTS: usize = 256;

/// Approximate size of an element in JSON, in bytes.
const BYTES_PER_ELEMENT: usize = 12;

/// The body of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// JSON, followed by the binary outputs.
    pub bytes: Vec<u8>,
    /// Size of the JSON in bytes, for [`JSON_LENGTH_HEADER`](super::JSON_LENGTH_HEADER), where an output is
    /// binary.
    pub json_length: Option<usize>,
}

#[derive(Serialize)]
struct Response<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [usize],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Elements<'a>>,
}

#[derive(Serialize)]
struct Parameters {
    binary_data_size: usize,
}

pub(super) fn write(response: &InferResponse<'_>) -> Result<Body, NotFinite> {
    let mut size = BYTES_BESIDE_ELEMENTS;
    let mut outputs = Vec::with_capacity(response.outputs.len());
    for output in &response.outputs {
        let data = output.tensor.data();
        let binary_data_size = output.binary.then(|| raw::size(data));
        if !output.binary
            && let Some(element) = first_not_finite(data)
        {
            let name = output.name.to_owned();
            return Err(NotFinite { name, element });
        }
        size += binary_data_size.unwrap_or(data.len() * BYTES_PER_ELEMENT);
        outputs.push(Output {
            name: output.name,
            datatype: datatype::name(data.element()),
            shape: output.tensor.shape(),
            parameters: binary_data_size.map(|binary_data_size| Parameters { binary_data_size }),
            data: (!output.binary).then_some(Elements(data)),
        });
    }
    let json = Response {
        model_name: response.model_name,
        model_version: response.model_version,
        id: response.id,
        outputs,
    };
    let mut bytes = Vec::with_capacity(size);
    // Names, numbers and strings can always be written, and writing to memory doesn't fail.
    let _always_ok = serde_json::to_writer(&mut bytes, &json);
    let json_length = bytes.len();
    let mut any_binary = false;
    for output in response.outputs.iter().filter(|output| output.binary) {
        any_binary = true;
        raw::write(output.tensor.data(), &mut bytes);
    }
    Ok(Body {
        bytes,
        json_length: any_binary.then_some(json_length),
    })
}

fn first_not_finite(data: DataView<'_>) -> Option<usize> {
    match data {
        DataView::F16(floats) => floats.iter().position(|float| !float.is_finite()),
        DataView::Bf16(floats) => floats.iter().position(|float| !float.is_finite()),
        DataView::F32(floats) => floats.iter().position(|float| !float.is_finite()),
        DataView::F64(floats) => floats.iter().position(|float| !float.is_finite()),
        _ => None,
    }
}

/// Elements as one flat list.
struct Elements<'a>(DataView<'a>);

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            DataView::Bool(values) => values.serialize(serializer),
            DataView::U8(numbers) => numbers.serialize(serializer),
            DataView::U16(numbers) => numbers.serialize(serializer),
            DataView::U32(numbers) => numbers.serialize(serializer),
            DataView::U64(numbers) => numbers.serialize(serializer),
            DataView::I8(numbers) => numbers.serialize(serializer),
            DataView::I16(numbers) => numbers.serialize(serializer),
            DataView::I32(numbers) => numbers.serialize(serializer),
            DataView::I64(numbers) => numbers.serialize(serializer),
            DataView::F16(numbers) => {
                list(numbers.iter().map(|number| number.to_f32()), serializer)
            }
            DataView::Bf16(numbers) => {
                list(numbers.iter().map(|number| number.to_f32()), serializer)
            }
            DataView::F32(numbers) => numbers.serialize(serializer),
            DataView::F64(numbers) => numbers.serialize(serializer),
            DataView::String(strings) => strings.serialize(serializer),
        }
    }
}

fn list<S: Serializer>(
    numbers: impl ExactSizeIterator<Item = f32>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(numbers.len()))?;
    for number in numbers {
        list.serialize_element(&number)?;
    }
    list.end()
}
