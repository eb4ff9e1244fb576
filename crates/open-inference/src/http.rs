//! The protocol over HTTP: JSON, optionally followed by Triton's binary tensors.

mod elements;
mod header;
mod non_finite;
mod parameters;
mod reader;
mod response;
mod values;

use springtide_inference::{Dimension, ElementType, Signature, Tensor};

use self::header::{Content, Header, ReadInput};
pub use self::non_finite::non_finite_literal;
pub use self::response::Body;
use crate::{InferRequest, InferResponse, Input, InvalidRequest, Limits, NotFinite, raw};

/// Header of requests and responses with binary tensors: size of the JSON at the start of the body, in bytes.
pub const JSON_LENGTH_HEADER: &str = "inference-header-content-length";

/// Parses the body of a request. If `json_length` is given, the JSON has this size in bytes, and binary tensors follow.
///
/// # Errors
/// The first [`InvalidRequest`].
pub fn parse_request(
    body: &[u8],
    json_length: Option<usize>,
    limits: &Limits,
) -> Result<InferRequest, InvalidRequest> {
    let mut limits = *limits;
    let (json, binary) = match json_length {
        None => (body, None),
        Some(length) => {
            let (json, binary) = body.split_at_checked(length).ok_or_else(|| {
                InvalidRequest::new(format!(
                    "the header {JSON_LENGTH_HEADER} says {length} bytes, the body has {}",
                    body.len()
                ))
            })?;
            (json, Some(binary))
        }
    };
    let Header {
        id,
        parameters,
        inputs,
        outputs,
    } = header::read(json, &mut limits)?;
    Ok(InferRequest {
        id,
        timeout: parameters.timeout,
        inputs: tensors(inputs, binary, &mut limits)?,
        outputs,
        binary_output: parameters.binary_output,
    })
}

/// Maximum memory of the numbers in JSON, in bytes, without their text. They are separated by commas.
#[must_use]
pub fn most_bytes_of_numbers(json: &[u8]) -> usize {
    let commas = json.iter().filter(|byte| **byte == b',').count();
    (commas + 1).saturating_mul(size_of::<u64>())
}

/// The tensors, with binary elements from the bytes that follow the JSON.
fn tensors(
    inputs: Vec<ReadInput>,
    mut binary: Option<&[u8]>,
    limits: &mut Limits,
) -> Result<Vec<Input>, InvalidRequest> {
    let mut tensors = Vec::with_capacity(inputs.len());
    for input in inputs {
        let ReadInput {
            name,
            shape,
            element,
            content,
        } = input;
        let invalid = |problem| InvalidRequest::input(&name, problem);
        let data = match content {
            Content::Json(data) => data,
            Content::Binary(size) => {
                let Some(rest) = binary else {
                    let problem = format!("binary_data_size needs the header {JSON_LENGTH_HEADER}");
                    return Err(invalid(problem));
                };
                let Some((bytes, rest)) = rest.split_at_checked(size) else {
                    let left = rest.len();
                    let problem = format!("binary_data_size is {size}, {left} bytes are left");
                    return Err(invalid(problem));
                };
                binary = Some(rest);
                let count = limits.count(element, &shape).map_err(&invalid)?;
                limits.spend(element, count);
                raw::read(element, count, bytes).map_err(&invalid)?
            }
        };
        match Tensor::new(shape, data) {
            Ok(tensor) => tensors.push(Input { name, tensor }),
            Err(mismatch) => return Err(invalid(mismatch.to_string())),
        }
    }
    if let Some(rest) = binary
        && !rest.is_empty()
    {
        let left = rest.len();
        return Err(match tensors.last() {
            Some(last) => {
                InvalidRequest::input(&last.name, format!("{left} bytes follow its data"))
            }
            None => InvalidRequest::new(format!("{left} bytes follow the JSON, there is no input")),
        });
    }
    Ok(tensors)
}

/// Parses a raw binary request of Triton, whose header has 0 bytes of JSON. The body is the elements of the model's only
/// input, one row where requests are batched. At most one further dimension may be free. A BYTES tensor is one string,
/// without its length.
///
/// # Errors
/// When the model has other inputs, or the bytes don't match.
pub fn parse_raw_request(
    body: &[u8],
    signature: &Signature,
) -> Result<InferRequest, InvalidRequest> {
    let required: Vec<_> = signature.required_inputs().collect();
    let [port] = required.as_slice() else {
        let count = required.len();
        let message = format!("a raw request needs a model with one input, this one has {count}");
        return Err(InvalidRequest::new(message));
    };
    let invalid = |problem: &str| InvalidRequest::input(&port.name, problem);
    let (Some(element), Some(declared)) = (port.element(), &port.shape) else {
        return Err(invalid(
            "a raw request needs a shape that the model declares",
        ));
    };
    let mut open = None;
    let mut shape = Vec::with_capacity(declared.len());
    for (index, dimension) in declared.iter().enumerate() {
        shape.push(match dimension {
            Dimension::Fixed(length) => *length,
            Dimension::Any if index == 0 && signature.has_row_axis() => 1,
            Dimension::Any if open.replace(index).is_none() => 1,
            Dimension::Any => {
                return Err(invalid("a raw request leaves more than one length open"));
            }
        });
    }
    let row = springtide_inference::element_count(&shape)
        .ok_or_else(|| invalid("the model's shape is too large"))?;
    let data = if element == ElementType::String {
        if row != 1 {
            return Err(invalid("a raw request of strings holds one"));
        }
        raw::string(0, body).map(|string| vec![string].into())
    } else {
        let elements = body.len() / element.bytes().unwrap_or(1);
        let count = match open {
            Some(index) => {
                let length = elements.checked_div(row).unwrap_or(0);
                shape[index] = length;
                row.saturating_mul(length)
            }
            None => row,
        };
        raw::read(element, count, body)
    };
    let data = data.map_err(|problem| invalid(&problem))?;
    let tensor = Tensor::new(shape, data).map_err(|mismatch| invalid(&mismatch.to_string()))?;
    Ok(InferRequest {
        id: None,
        timeout: None,
        inputs: vec![Input {
            name: port.name.clone(),
            tensor,
        }],
        outputs: vec![],
        binary_output: true,
    })
}

/// Writes the body of a response.
///
/// # Errors
/// When JSON can't represent an element.
pub fn write_response(response: &InferResponse<'_>) -> Result<Body, NotFinite> {
    response::write(response)
}

#[cfg(test)]
mod tests;
