//! Runs an inference request, from its tensors to its outputs.

use std::sync::Arc;
use std::time::Duration;

use springtide_inference::{Data, DataView, ElementType, Signature, Tensor, TensorView};
use springtide_open_inference::{InferRequest, InferResponse, MAX_STRINGS, Output, Selected};

use super::error::ProtocolError;
use crate::app::App;
use crate::lifecycle::Phase;
use crate::metrics::{Call, Series};
use crate::models::{InferError, InferenceOutput, LookupError, Model};
use crate::request_memory::Reservation;

/// The version of a request. The empty one of the protocol is None.
pub(crate) fn version(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Looks up a model that serves.
///
/// # Errors
/// [`ProtocolError::Lookup`].
pub(crate) fn find(
    app: &App,
    name: &str,
    version: Option<&str>,
) -> Result<Arc<Model>, ProtocolError> {
    app.models.find(name, version).map_err(|error| match error {
        // The models aren't all known yet.
        LookupError::UnknownModel(_) if app.lifecycle.phase() == Phase::Loading => {
            LookupError::NothingServes.into()
        }
        error => error.into(),
    })
}

/// The serving versions: of all models if the name is empty, and of one model if the version is empty.
///
/// # Errors
/// [`ProtocolError::Lookup`].
pub(crate) fn serving(
    app: &App,
    name: &str,
    number: &str,
) -> Result<Vec<Arc<Model>>, ProtocolError> {
    if name.is_empty() {
        return Ok(app.models.serving());
    }
    let model = find(app, name, version(number))?;
    if !number.is_empty() {
        return Ok(vec![model]);
    }
    let mut versions = app.models.serving();
    versions.retain(|other| other.name() == model.name());
    Ok(versions)
}

/// The metrics of requests for a model.
pub(crate) fn series<E>(app: &App, model: &Result<Arc<Model>, E>) -> Arc<Series> {
    match model {
        Ok(model) => Arc::clone(model.series()),
        Err(_) => Arc::clone(app.metrics.of_no_model()),
    }
}

/// The result of a request.
pub(crate) struct RunResult {
    id: Option<String>,
    outputs: Vec<Selected>,
    inferred: InferenceOutput,
    /// Memory of the outputs.
    _reservation: Reservation,
}

/// Runs a request that arrived with `call`. Resizes `reservation` to its tensors.
///
/// # Errors
/// If the request doesn't fit the model, or the model gives no result.
pub(crate) async fn run(
    model: &Model,
    request: InferRequest,
    mut reservation: Reservation,
    call: &mut Call,
    timeout: Duration,
) -> Result<RunResult, ProtocolError> {
    let request = request.resolve(model.signature())?;
    let timeout = request.timeout.map_or(timeout, |own| own.min(timeout));
    let optional = request.optional.iter().map(|(_, tensor)| tensor);
    reservation.resize(run_bytes(request.inputs.iter().chain(optional)))?;
    let checked = model.check(request.inputs, request.optional)?;
    call.accept();
    let deadline = call.arrived() + timeout;
    let inferred = model.infer(checked, deadline).await?;
    reservation.resize(output_bytes(&inferred))?;
    Ok(RunResult {
        _reservation: reservation,
        id: request.id,
        outputs: request.outputs,
        inferred,
    })
}

impl RunResult {
    /// The response of the protocol.
    ///
    /// # Errors
    /// [`InferError::Failed`] if the model gave fewer outputs than it declares.
    pub(crate) fn response<'a>(
        &'a self,
        model: &'a Model,
    ) -> Result<InferResponse<'a>, ProtocolError> {
        let ports: Vec<_> = model.signature().tensor_outputs().collect();
        let output = |selected: &Selected| {
            Some(Output {
                name: &ports.get(selected.index)?.name,
                tensor: self.inferred.view(selected.index)?,
                binary: selected.binary,
            })
        };
        let outputs: Option<_> = self.outputs.iter().map(output).collect();
        Ok(InferResponse {
            model_name: model.name(),
            model_version: model.version(),
            id: self.id.as_deref(),
            outputs: outputs.ok_or_else(|| {
                tracing::error!(
                    model = model.name(),
                    "a run gave fewer outputs than the model declares"
                );
                InferError::Failed
            })?,
        })
    }
}

/// Bytes of an element of text besides its own: a `String` with its allocation, and as much in ONNX Runtime.
const TEXT_BYTES: usize = 128;

/// Upper bounds of a body's content, estimated from its bytes before it is parsed.
pub(crate) struct ContentBounds {
    /// Bytes of the body.
    pub(crate) bytes: usize,
    /// Bytes of its numbers in memory.
    pub(crate) numbers: usize,
    /// Elements of text.
    pub(crate) texts: usize,
}

/// Maximum bytes of a body's tensors in memory. They are reserved before it is parsed.
pub(crate) fn parse_bytes(signature: &Signature, bounds: &ContentBounds) -> usize {
    let has_text = signature
        .inputs
        .iter()
        .any(|port| port.element() == Some(ElementType::String));
    if has_text {
        let texts = bounds.texts.min(MAX_STRINGS).saturating_mul(TEXT_BYTES);
        2_usize
            .saturating_mul(bounds.bytes)
            .saturating_add(texts.max(bounds.numbers))
    } else {
        bounds.numbers
    }
}

/// Bytes of tensors while they are run: once here and once in their batch.
pub(crate) fn run_bytes<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> usize {
    tensors.into_iter().map(tensor_bytes).sum()
}

/// Bytes of the outputs of a request.
pub(crate) fn output_bytes(inferred: &InferenceOutput) -> usize {
    inferred.views().iter().map(view_bytes).sum()
}

fn tensor_bytes(tensor: &Tensor) -> usize {
    match tensor.data() {
        Data::String(strings) => strings
            .iter()
            .map(|string| TEXT_BYTES + 2 * string.capacity())
            .sum(),
        data => 2 * data.view().len() * data.view().element().bytes().unwrap_or(0),
    }
}

fn view_bytes(view: &TensorView<'_>) -> usize {
    let data = view.data();
    match (data, data.element().bytes()) {
        (DataView::String(strings), _) => {
            strings.iter().map(|string| TEXT_BYTES + string.len()).sum()
        }
        (data, size) => data.len() * size.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use springtide_inference::{Dimension, Port};

    use super::*;

    fn signature(element: ElementType) -> Signature {
        Signature {
            inputs: vec![Port::tensor("x", element, [Dimension::Any])],
            outputs: vec![],
        }
    }

    #[test]
    fn text_needs_many_times_its_bytes_and_numbers_do_not() {
        let bounds = ContentBounds {
            bytes: 4_000,
            numbers: 8_000,
            texts: 1_000,
        };
        assert_eq!(parse_bytes(&signature(ElementType::F32), &bounds), 8_000);
        let text = parse_bytes(&signature(ElementType::String), &bounds);
        assert_eq!(text, 8_000 + 1_000 * TEXT_BYTES);
        let beyond = ContentBounds {
            texts: usize::MAX,
            ..bounds
        };
        let text = parse_bytes(&signature(ElementType::String), &beyond);
        assert_eq!(text, 8_000 + MAX_STRINGS * TEXT_BYTES, "more are rejected");
    }

    #[test]
    fn a_tensor_needs_memory_for_itself_and_its_batch() {
        let numbers = Tensor::zeros(ElementType::I64, vec![2, 3]).unwrap();
        assert_eq!(run_bytes([&numbers]), 2 * 6 * 8);
        assert_eq!(view_bytes(&numbers.view()), 6 * 8);
        let texts = vec![String::new(), "four".to_owned()];
        let texts = Tensor::new(vec![2], texts).unwrap();
        assert!(run_bytes([&texts]) >= 2 * TEXT_BYTES + 8);
        assert_eq!(run_bytes([&numbers, &numbers]), 2 * run_bytes([&numbers]));
        assert_eq!(view_bytes(&texts.view()), 2 * TEXT_BYTES + 4);
    }
}
