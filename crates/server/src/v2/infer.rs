//! One request for inference, from its tensors to its outputs.

use std::sync::Arc;
use std::time::Duration;

use springtide_inference::{Data, Tensor};
use springtide_open_inference::{InferRequest, InferResponse, Output, Selected};

use super::error::Refusal;
use crate::body::{BodyBudget, Held, NoRoom};
use crate::http::App;
use crate::lifecycle::Phase;
use crate::metrics::{Call, Series};
use crate::models::{InferError, Inferred, LookupError, Model};

/// The version that a request means: the protocol's empty one is none.
pub(crate) fn version(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Finds a model that serves.
///
/// # Errors
/// When it doesn't.
pub(crate) fn find(app: &App, name: &str, version: Option<&str>) -> Result<Arc<Model>, Refusal> {
    app.models.find(name, version).map_err(|error| match error {
        // What there will be isn't known yet.
        LookupError::UnknownModel(_) if app.lifecycle.phase() == Phase::Loading => {
            LookupError::NothingServes.into()
        }
        error => error.into(),
    })
}

/// Versions that serve: of all models where no name is given, of one where no version is.
///
/// # Errors
/// When there is none of that name and version.
pub(crate) fn serving(app: &App, name: &str, number: &str) -> Result<Vec<Arc<Model>>, Refusal> {
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

/// The metrics of a request that means this model.
pub(crate) fn series<E>(app: &App, model: &Result<Arc<Model>, E>) -> Arc<Series> {
    match model {
        Ok(model) => Arc::clone(model.series()),
        Err(_) => Arc::clone(app.metrics.of_no_model()),
    }
}

/// What a model gave for a request.
pub(crate) struct Answer {
    id: Option<String>,
    outputs: Vec<Selected>,
    inferred: Inferred,
}

/// Runs a request that arrived with `call`.
///
/// # Errors
/// When it doesn't fit the model or gets no answer.
pub(crate) async fn run(
    app: &App,
    model: &Model,
    request: InferRequest,
    call: &mut Call,
    timeout: Duration,
) -> Result<Answer, Refusal> {
    let request = request.resolve(model.signature())?;
    let timeout = request.timeout.map_or(timeout, |own| own.min(timeout));
    // Elements of JSON can be several times as large as their text.
    let _memory = hold(&app.bodies, &request.inputs)?;
    let checked = model.check(request.inputs, request.optional)?;
    call.accept();
    let deadline = call.arrived() + timeout;
    let inferred = model.infer(checked, deadline).await?;
    Ok(Answer {
        id: request.id,
        outputs: request.outputs,
        inferred,
    })
}

impl Answer {
    /// The answer as the protocol tells it.
    ///
    /// # Errors
    /// When the model gave less than it declares.
    pub(crate) fn response<'a>(&'a self, model: &'a Model) -> Result<InferResponse<'a>, Refusal> {
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
                    "a run gave less than the model declares"
                );
                InferError::Failed
            })?,
        })
    }
}

/// Takes the memory of tensors from that of bodies, until the result is dropped.
fn hold(bodies: &BodyBudget, tensors: &[Tensor]) -> Result<Held, NoRoom> {
    let mut held = bodies.hold();
    held.grow(tensors.iter().map(bytes).sum())?;
    Ok(held)
}

fn bytes(tensor: &Tensor) -> usize {
    let data = tensor.data();
    match (data, data.view().element().bytes()) {
        (Data::String(strings), _) => strings
            .iter()
            .map(|string| size_of::<String>() + string.capacity())
            .sum(),
        (data, size) => data.view().len() * size.unwrap_or(0),
    }
}
