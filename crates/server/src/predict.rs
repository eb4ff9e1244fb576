//! `POST /predict`: from rows, texts or images to classes, numbers or embeddings. `KServe`'s V1 ([`crate::v1`]) has the same
//! requests in another form.

pub mod error;
mod image;
mod predictions;
pub mod response;
mod tabular;
mod text;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use springtide_tasks::TaskModel;
use springtide_tasks::request::Protocol;

use self::error::ApiError;
pub(crate) use self::predictions::Predictions;
use self::response::PredictResponse;
pub(crate) use self::text::run_texts;
use crate::app::App;
use crate::metrics::{Call, Status};
use crate::models::{LookupError, Model};

/// Answers a request to the default model.
pub async fn predict(State(app): State<Arc<App>>, request: Request) -> Response {
    let model = app.models.default_model();
    respond(&app, model.map_err(ApiError::from), request).await
}

/// Answers a request to a model by its name.
pub async fn predict_named(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let model = match name {
        Ok(Path(name)) => find(&app, &name),
        Err(_not_text) => Err(ApiError::NotFound),
    };
    respond(&app, model, request).await
}

/// A model by its name.
///
/// # Errors
/// [`ApiError::Lookup`], and [`ApiError::Loading`] while the models aren't all known.
pub(crate) fn find(app: &App, name: &str) -> Result<Arc<Model>, ApiError> {
    app.models.find(name, None).map_err(|error| match error {
        LookupError::UnknownModel(_) if app.lifecycle.is_loading() => ApiError::Loading,
        error => ApiError::Lookup(error),
    })
}

async fn respond(app: &App, model: Result<Arc<Model>, ApiError>, request: Request) -> Response {
    let answered = predictions_of(app, model, request, Protocol::Predict).await;
    match answered.and_then(PredictResponse::new) {
        Ok(response) => Json(response).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Answers a request, and counts it.
///
/// # Errors
/// [`ApiError`].
pub(crate) async fn predictions_of(
    app: &App,
    model: Result<Arc<Model>, ApiError>,
    request: Request,
    protocol: Protocol,
) -> Result<Predictions, ApiError> {
    counted(app, model, async |model, call| {
        let (parts, body) = request.into_parts();
        let task = model
            .task()
            .map_err(|reason| ApiError::Unsupported(reason.clone()))?;
        match task {
            TaskModel::Tabular(table) => {
                tabular::answer(app, call, (model, table), (&parts, body), protocol).await
            }
            TaskModel::Text(text) => {
                text::answer(app, call, (model, text), (&parts, body), protocol).await
            }
            TaskModel::Image(image) => {
                image::answer(app, call, (model, image), (&parts, body), protocol).await
            }
        }
    })
    .await
}

/// Counts a request that failed before its model was known.
///
/// # Errors
/// The error.
pub(crate) async fn refused<T>(app: &App, error: ApiError) -> Result<T, ApiError> {
    counted(app, Err(error), async |_, _| Err(ApiError::NotFound)).await
}

/// Counts a request that `answer` answers.
///
/// # Errors
/// Those of the answer, and that of the model.
pub(crate) async fn counted<T>(
    app: &App,
    model: Result<Arc<Model>, ApiError>,
    answer: impl AsyncFnOnce(&Arc<Model>, &mut Call) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let _in_flight = app.lifecycle.enter();
    let series = match &model {
        Ok(model) => model.series(),
        Err(_) => app.metrics.of_no_model(),
    };
    let mut call = Call::arrival(Arc::clone(series));
    let answered = match model {
        Ok(model) => answer(&model, &mut call).await,
        Err(error) => Err(error),
    };
    call.end(
        answered
            .as_ref()
            .map_or_else(ApiError::status, |_| Status::Success),
    );
    answered
}

#[cfg(test)]
mod tests;
