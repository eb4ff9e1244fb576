//! The protocol over gRPC.

mod contents;
#[rustfmt::skip]
#[allow(clippy::all, clippy::doc_markdown, missing_docs, reason = "generated")]
pub mod message;
mod names;
mod wire;

use springtide_inference::Tensor;

use self::message::infer_parameter::ParameterChoice;
use self::message::model_infer_request::InferInputTensor;
use self::message::model_infer_response::InferOutputTensor;
use self::message::{InferParameter, ModelInferRequest, ModelInferResponse};
pub use self::wire::Bounded;
use crate::limits::{MAX_DIMENSIONS, MAX_ID_BYTES, MAX_NAME_BYTES};
use crate::parameters::{
    InputParameters, Name, OutputParameters, Parameters, RequestParameters, Value,
};
use crate::{
    InferRequest, InferResponse, Input, InvalidRequest, Limits, RequestedOutput, datatype, raw,
};

/// Parameter of responses on a stream: whether the response is the last one of its request.
const FINAL_RESPONSE: &str = "triton_final_response";

/// Reads a request.
///
/// # Errors
/// The first [`InvalidRequest`].
pub fn request(
    message: ModelInferRequest,
    limits: &Limits,
) -> Result<InferRequest, InvalidRequest> {
    let ModelInferRequest {
        id,
        parameters,
        inputs,
        outputs,
        raw_input_contents,
        ..
    } = message;
    if id.len() > MAX_ID_BYTES {
        let message = format!(
            "id has {} bytes, at most {MAX_ID_BYTES} are allowed",
            id.len()
        );
        return Err(InvalidRequest::new(message));
    }
    let RequestParameters { timeout, .. } = read_parameters(parameters)?;
    let are_raw = !raw_input_contents.is_empty();
    if are_raw && raw_input_contents.len() != inputs.len() {
        return Err(InvalidRequest::new(format!(
            "raw_input_contents has {} entries for {} inputs",
            raw_input_contents.len(),
            inputs.len()
        )));
    }
    let mut limits = *limits;
    let mut raw_contents = raw_input_contents.into_iter();
    Ok(InferRequest {
        id: (!id.is_empty()).then_some(id),
        timeout,
        inputs: inputs
            .into_iter()
            .map(|message| {
                let raw = raw_contents.next();
                input(message, raw.as_deref(), &mut limits)
            })
            .collect::<Result<_, _>>()?,
        outputs: outputs
            .into_iter()
            .map(|output| {
                check_name(&output.name)
                    .map_err(|problem| InvalidRequest::output(&output.name, problem))?;
                let OutputParameters { binary } =
                    read_parameters(output.parameters).map_err(|problem| {
                        problem.within(format_args!("output {:?}: ", output.name))
                    })?;
                Ok(RequestedOutput {
                    name: output.name,
                    binary,
                })
            })
            .collect::<Result<_, InvalidRequest>>()?,
        binary_output: true,
    })
}

fn input(
    message: InferInputTensor,
    raw_contents: Option<&[u8]>,
    limits: &mut Limits,
) -> Result<Input, InvalidRequest> {
    let InferInputTensor {
        name,
        datatype,
        shape,
        parameters,
        contents,
    } = message;
    let invalid = |problem: String| InvalidRequest::input(&name, problem);
    check_name(&name).map_err(invalid)?;
    let _: InputParameters = read_parameters(parameters)
        .map_err(|problem| problem.within(format_args!("input {name:?}: ")))?;
    let element = datatype::parse(&datatype).ok_or_else(|| {
        invalid(format!(
            "datatype is {datatype:?}, not {}",
            datatype::EXPECTED
        ))
    })?;
    if shape.len() > MAX_DIMENSIONS {
        return Err(invalid(format!(
            "shape has more than {MAX_DIMENSIONS} dimensions"
        )));
    }
    let lengths = shape.iter().map(|length| usize::try_from(*length));
    let shape: Vec<usize> = lengths
        .collect::<Result<_, _>>()
        .map_err(|_negative| invalid(format!("shape {shape:?} has a negative length")))?;
    let count = limits.count(element, &shape).map_err(invalid)?;
    limits.spend(element, count);
    let data = match (raw_contents, contents) {
        (Some(bytes), None) => raw::read(element, count, bytes),
        (Some(bytes), Some(contents)) if contents::is_empty(&contents) => {
            raw::read(element, count, bytes)
        }
        (Some(_), Some(_)) => Err("has contents beside raw_input_contents".to_owned()),
        (None, contents) => contents::read(element, count, contents.map(|boxed| *boxed)),
    };
    let data = data.map_err(invalid)?;
    let tensor = Tensor::new(shape, data).map_err(|mismatch| invalid(mismatch.to_string()))?;
    Ok(Input { name, tensor })
}

fn check_name(name: &str) -> Result<(), String> {
    let length = name.len();
    if length > MAX_NAME_BYTES {
        return Err(format!(
            "the name has {length} bytes, at most {MAX_NAME_BYTES} are allowed"
        ));
    }
    Ok(())
}

fn read_parameters<P: Parameters>(
    parameters: impl IntoIterator<Item = (String, InferParameter)>,
) -> Result<P, InvalidRequest> {
    let mut read = P::default();
    for (name, parameter) in parameters {
        let value = match parameter.parameter_choice {
            Some(ParameterChoice::BoolParam(value)) => Value::Bool(value),
            Some(ParameterChoice::Int64Param(number)) => Value::Integer(number.into()),
            Some(ParameterChoice::Uint64Param(number)) => Value::Integer(number.into()),
            Some(ParameterChoice::StringParam(text)) => Value::Text(text),
            Some(ParameterChoice::DoubleParam(_)) | None => Value::Other,
        };
        read.set(Name::of(&name), &value)?;
    }
    Ok(read)
}

/// Writes a response.
#[must_use]
pub fn response(response: &InferResponse<'_>) -> ModelInferResponse {
    let mut outputs = Vec::with_capacity(response.outputs.len());
    let mut raw_output_contents = Vec::with_capacity(response.outputs.len());
    for output in &response.outputs {
        let data = output.tensor.data();
        let lengths = output.tensor.shape().iter();
        outputs.push(InferOutputTensor {
            name: output.name.to_owned(),
            datatype: datatype::name(data.element()).to_owned(),
            shape: lengths
                .map(|length| i64::try_from(*length).unwrap_or(i64::MAX))
                .collect(),
            ..InferOutputTensor::default()
        });
        let mut bytes = Vec::with_capacity(raw::size(data));
        raw::write(data, &mut bytes);
        raw_output_contents.push(bytes.into());
    }
    ModelInferResponse {
        model_name: response.model_name.to_owned(),
        model_version: response.model_version.to_owned(),
        id: response.id.unwrap_or_default().to_owned(),
        outputs,
        raw_output_contents,
        ..ModelInferResponse::default()
    }
}

/// The response as the only one of its request on a stream.
#[must_use]
pub fn final_response(mut response: ModelInferResponse) -> ModelInferResponse {
    let parameter_choice = Some(ParameterChoice::BoolParam(true));
    let parameter = InferParameter { parameter_choice };
    response
        .parameters
        .insert(FINAL_RESPONSE.to_owned(), parameter);
    response
}

#[cfg(test)]
mod tests;
